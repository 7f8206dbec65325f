//! A line in the terminal that shows how far the running picture is.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use invoke_core::{
    domain::queue_item::ItemStatus,
    events::{Bus, Event, Subscription},
};

/// Shows progress as long as the value is held; nothing if standard error is no terminal.
pub fn in_terminal(bus: &Bus) -> Option<Subscription> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template("{msg:40!} {wide_bar} {percent:>3} %").ok()?;
    let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
    Some(bus.subscribe(move |published| match &*published.event {
        Event::InvocationProgress {
            base, message, percentage, ..
        } => {
            bar.set_message(format!("item {}: {message}", base.item_id));
            if let Some(part) = percentage {
                bar.set_position((part * 100.0).clamp(0.0, 100.0) as u64);
            }
            bar.tick();
        }
        Event::QueueItemStatusChanged(change) if change.status == ItemStatus::InProgress => {
            bar.reset();
            bar.set_message(format!("item {}", change.item_id));
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Event::QueueItemStatusChanged(change) if change.status.is_terminal() => {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
        _ => {}
    }))
}
