//! The queue's tables.
//!
//! What people ask for leaves sealed. What the queue asks for itself does not: the rows that its workers run, a row that a write has just changed, the
//! chain of calls around an item that was opened. Nothing outside of this crate can ask for these; it can only say that an item has
//! ended, as whoever works on one does.

mod claim;
mod counts;
mod insert;
mod read;
#[cfg(test)]
mod tests;
mod transition;

pub(crate) use claim::{begin, cost_of, first_waiting, models_of, turns};
pub(crate) use counts::hand_over;
pub use counts::{Selection, batch_origin, count_selected, queue_counts, user_counts};
pub use insert::{NewBatch, NewItem, capacity_left, insert_batch, next_priority, taken_apart};
pub use read::{Stored, find, first_in_progress, ids_by_creation, list, next_pending, of_numbers, queue_of, running_in};
pub(crate) use read::{ids_of_batch, root_of, running_on, stored_session};
pub use transition::{Change, Deleted, cancel_waiting, delete_items, delete_rows, finish, in_progress_of};
pub(crate) use transition::{
    cancel_unfinished, chain_of, ended_item, is_running, keep_newest, reload, requeue, resume, running_item, store_session, suspend,
    terminal_rows, waiting_item,
};
