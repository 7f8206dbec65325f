//! What nodes need is fetched at first use.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use parking_lot::Mutex;

use super::{Kit, Models, server::Page};
use crate::{
    authz::Actor,
    config::Settings,
    domain::{Error, Result},
    engine::DownloadWatch,
};

/// Asks as a session's node does, for as long as `goes_on`.
fn ask(models: &Models, source: &str, goes_on: &(dyn Fn() -> bool + Sync)) -> (Result<Option<PathBuf>>, Vec<f64>) {
    let shares = Mutex::new(Vec::new());
    let watch = DownloadWatch {
        goes_on,
        share: &|share| shares.lock().push(share),
    };
    let found = models.downloaded(&Actor::local_operator(), source, &watch);
    (found, shares.into_inner())
}

/// A server with this page alone, and its address.
fn serving(page: Page) -> (Kit, String) {
    let kit = Kit::new();
    kit.server.put("/detector.pth", page);
    let source = kit.server.url("/detector.pth");
    (kit, source)
}

/// A page that stays behind until the server's gate is opened.
fn held() -> Page {
    Page {
        hold: Some(1000),
        ..Page::of(bytes(100_000))
    }
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31) as u8).collect()
}

#[test]
fn what_a_node_needs_is_fetched_once() {
    let (kit, source) = serving(Page::of(bytes(300_000)));
    let (found, shares) = ask(&kit.models, &source, &|| true);
    let path = found.unwrap().unwrap();
    assert!(path.starts_with(kit.models.shared.layout.download_cache_dir()) && path.ends_with("detector.pth"));
    assert_eq!(std::fs::read(&path).unwrap(), bytes(300_000));
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
    assert_eq!(kit.names(), ["download_started", "download_progress", "download_complete"]);
    assert_eq!(ask(&kit.models, &source, &|| true).0.unwrap(), Some(path));
    assert_eq!(kit.server.asked("/detector.pth").len(), 1);
}

#[test]
fn who_asks_meanwhile_waits_for_the_same() {
    let (kit, source) = serving(held());
    let asked = AtomicUsize::new(0);
    let (models, server) = (&kit.models, &*kit.server);
    let goes_on = || {
        // Both have asked and wait.
        if asked.fetch_add(1, Ordering::Relaxed) > 4 {
            server.open();
        }
        true
    };
    let goes_on = &goes_on;
    thread::scope(|scope| {
        let askers = [(); 2].map(|()| scope.spawn(|| ask(models, &source, goes_on).0.unwrap().unwrap()));
        let [one, other] = askers.map(|asker| asker.join().unwrap());
        assert_eq!(one, other);
    });
    assert_eq!(kit.server.asked("/detector.pth").len(), 1);
}

#[test]
fn nobody_waits_for_what_another_needs() {
    let (kit, source) = serving(held());
    kit.server.put("/other.pth", Page::of(bytes(1000)));
    let other = kit.server.url("/other.pth");
    let models = &kit.models;
    thread::scope(|scope| {
        let asker = scope.spawn(|| ask(models, &source, &|| true).0.unwrap());
        kit.until(|| (!kit.server.asked("/detector.pth").is_empty()).then_some(()));
        assert!(ask(models, &other, &|| true).0.unwrap().is_some());
        assert!(!asker.is_finished());
        kit.server.open();
        assert!(asker.join().unwrap().is_some());
    });
}

#[test]
fn who_no_longer_waits_is_let_go_and_leaves_nothing_that_looks_whole() {
    let (kit, source) = serving(held());
    let canceled = AtomicBool::new(false);
    let models = &kit.models;
    let found = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(models, &source, &|| !canceled.load(Ordering::Relaxed)).0.unwrap());
        kit.until(|| (!kit.server.asked("/detector.pth").is_empty()).then_some(()));
        canceled.store(true, Ordering::Relaxed);
        asker.join().unwrap()
    });
    assert_eq!(found, None);
    // Another version lies there by now; what had arrived of the first is no part of it.
    kit.server.put("/detector.pth", Page::of(vec![7; 50_000]));
    let path = ask(&kit.models, &source, &|| true).0.unwrap().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), vec![7; 50_000]);
}

#[test]
fn what_breaks_off_is_gone_on_with() {
    let (kit, source) = serving(Page {
        cut: Some(120_000),
        ..Page::of(bytes(200_000))
    });
    let path = ask(&kit.models, &source, &|| true).0.unwrap().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), bytes(200_000));
    let asked = kit.server.asked("/detector.pth");
    assert!(asked.len() == 2 && asked[1].headers["range"].starts_with("bytes="), "{asked:?}");
}

#[test]
fn what_cannot_be_fetched_is_told_with_the_place_for_it() {
    let kit = Kit::new();
    let source = kit.server.url("/nowhere.pth");
    let Err(Error::NotFound(told)) = ask(&kit.models, &source, &|| true).0 else {
        panic!("it is nowhere");
    };
    assert!(
        told.contains(&source) && told.contains("Not Found") && told.contains("nowhere-pth of the models' download folder"),
        "{told}"
    );

    let careful = Kit::with(Settings::default());
    careful.server.put("/detector.pth", Page::of(bytes(100)));
    let source = careful.server.url("/detector.pth");
    let Err(Error::NotFound(told)) = ask(&careful.models, &source, &|| true).0 else {
        panic!("private addresses are refused");
    };
    assert!(told.contains("allow_private_download_urls"), "{told}");
    assert!(careful.server.asked("/detector.pth").is_empty());
}
