//! An item held at each point of its way while something happens to it: how it ends, and that the queue goes on.

use super::*;
use crate::{
    domain::queue_item::Failure,
    engine::{Device, DownloadWatch, Finished, Host, HostError, ImageToSave, ModelOnDisk, ModelQuery, NodeEvent, SavedImage},
};

/// A point on an item's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The books say that it runs; no worker has it yet.
    Claimed,
    /// Its first node begins.
    Started,
    /// Its first node is done.
    NodeDone,
    /// All nodes are done; the books do not know yet.
    Finished,
}

/// What happens to it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Nothing,
    Cancel,
    Delete,
    Clear,
    /// The owner's account is deactivated.
    Deactivate,
    /// The code breaks.
    Panic,
    /// The server is asked to stop.
    Stop,
}

/// Point, happening: how the item that was held ends, what was told of it afterwards, and how the one behind it stands.
const TABLE: &[(Point, Happening, &str, &str, &str)] = &[
    (
        Point::Claimed,
        Happening::Nothing,
        "completed 2, 2 results",
        "a started, a complete, b started, b complete, completed",
        "completed 2, 2 results",
    ),
    (
        Point::Claimed,
        Happening::Cancel,
        "canceled 2, 0 results",
        "canceled",
        "completed 2, 2 results",
    ),
    (Point::Claimed, Happening::Delete, "gone", "canceled", "completed 2, 2 results"),
    (Point::Claimed, Happening::Clear, "gone", "canceled", "gone"),
    (
        Point::Claimed,
        Happening::Deactivate,
        "canceled 2, 0 results",
        "canceled",
        "canceled 2, 0 results",
    ),
    (
        Point::Claimed,
        Happening::Panic,
        "failed 2, 0 results: injected",
        "failed",
        "completed 2, 2 results",
    ),
    (
        Point::Claimed,
        Happening::Stop,
        "pending 2, 0 results",
        "pending",
        "pending 0, 0 results",
    ),
    (
        Point::Started,
        Happening::Nothing,
        "completed 2, 2 results",
        "a complete, b started, b complete, completed",
        "completed 2, 2 results",
    ),
    (
        Point::Started,
        Happening::Cancel,
        "canceled 2, 1 results",
        "canceled, a complete",
        "completed 2, 2 results",
    ),
    (
        Point::Started,
        Happening::Delete,
        "gone",
        "canceled, a complete",
        "completed 2, 2 results",
    ),
    (Point::Started, Happening::Clear, "gone", "canceled, a complete", "gone"),
    (
        Point::Started,
        Happening::Deactivate,
        "canceled 2, 1 results",
        "a complete, canceled",
        "canceled 2, 0 results",
    ),
    (
        Point::Started,
        Happening::Panic,
        "failed 2, 0 results: injected",
        "failed",
        "completed 2, 2 results",
    ),
    (
        Point::Started,
        Happening::Stop,
        "pending 2, 0 results",
        "a complete, pending",
        "pending 0, 0 results",
    ),
    (
        Point::NodeDone,
        Happening::Nothing,
        "completed 2, 2 results",
        "b started, b complete, completed",
        "completed 2, 2 results",
    ),
    (
        Point::NodeDone,
        Happening::Cancel,
        "canceled 2, 1 results",
        "canceled",
        "completed 2, 2 results",
    ),
    (Point::NodeDone, Happening::Delete, "gone", "canceled", "completed 2, 2 results"),
    (Point::NodeDone, Happening::Clear, "gone", "canceled", "gone"),
    (
        Point::NodeDone,
        Happening::Deactivate,
        "canceled 2, 1 results",
        "canceled",
        "canceled 2, 0 results",
    ),
    (
        Point::NodeDone,
        Happening::Panic,
        "failed 2, 0 results: injected",
        "failed",
        "completed 2, 2 results",
    ),
    (
        Point::NodeDone,
        Happening::Stop,
        "pending 2, 0 results",
        "pending",
        "pending 0, 0 results",
    ),
    (
        Point::Finished,
        Happening::Nothing,
        "completed 2, 2 results",
        "completed",
        "completed 2, 2 results",
    ),
    (
        Point::Finished,
        Happening::Cancel,
        "canceled 2, 2 results",
        "canceled",
        "completed 2, 2 results",
    ),
    (Point::Finished, Happening::Delete, "gone", "canceled", "completed 2, 2 results"),
    (Point::Finished, Happening::Clear, "gone", "canceled", "gone"),
    (
        Point::Finished,
        Happening::Deactivate,
        "completed 2, 2 results",
        "completed",
        "canceled 2, 0 results",
    ),
    (
        Point::Finished,
        Happening::Panic,
        "failed 2, 0 results: injected",
        "failed",
        "completed 2, 2 results",
    ),
    (
        Point::Finished,
        Happening::Stop,
        "completed 2, 2 results",
        "completed",
        "pending 0, 0 results",
    ),
];

/// Holds whoever first comes to one point until the test says what happens there.
struct Gate {
    point: Point,
    reached: mpsc::Sender<()>,
    go: Mutex<Option<mpsc::Receiver<Happening>>>,
}

impl Gate {
    fn pass(&self, point: Point) {
        if point != self.point {
            return;
        }
        let Some(go) = self.go.lock().take() else { return };
        self.reached.send(()).expect("the test waits");
        let happening = go.recv().expect("the test says what happens");
        assert!(happening != Happening::Panic, "injected");
    }
}

/// The books, with a gate.
struct Gated {
    books: Runs,
    gate: Arc<Gate>,
}

impl Ledger for Gated {
    fn claim(&self, asking: &Asking<'_>) -> Claim {
        match self.books.claim(asking) {
            Claim::Work(work) => {
                self.gate.pass(Point::Claimed);
                let gated = |Work { job, host }| {
                    let gate = Arc::clone(&self.gate);
                    let host = Arc::new(GatedHost { host, gate });
                    Work { job, host }
                };
                Claim::Work(work.into_iter().map(gated).collect())
            }
            other => other,
        }
    }
    fn is_running(&self, item_id: ItemId) -> bool {
        self.books.is_running(item_id)
    }
    fn finish(&self, item_id: ItemId, finished: Finished, stopping: bool) {
        self.gate.pass(Point::Finished);
        self.books.finish(item_id, finished, stopping);
    }
    fn abandon(&self, device: &Device, failure: &Failure) {
        self.books.abandon(device, failure);
    }
}

/// A session's host, with a gate after its events.
struct GatedHost {
    host: Arc<dyn Host>,
    gate: Arc<Gate>,
}

impl Host for GatedHost {
    fn event(&self, event: NodeEvent) {
        let point = match &event {
            NodeEvent::Started(_) => Some(Point::Started),
            NodeEvent::Complete { .. } => Some(Point::NodeDone),
            _ => None,
        };
        self.host.event(event);
        point.into_iter().for_each(|point| self.gate.pass(point));
    }
    fn save_image(&self, image: ImageToSave) -> Result<SavedImage, HostError> {
        self.host.save_image(image)
    }
    fn export_file(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        self.host.export_file(folder, name, bytes)
    }
    fn load_image(&self, image_name: &str) -> Result<Vec<u8>, HostError> {
        self.host.load_image(image_name)
    }
    fn model(&self, key: &str) -> Result<Option<ModelOnDisk>, HostError> {
        self.host.model(key)
    }
    fn downloaded(&self, source: &str, watch: &DownloadWatch<'_>) -> Result<Option<std::path::PathBuf>, HostError> {
        self.host.downloaded(source, watch)
    }
    fn image_metadata(&self, image_name: &str) -> Result<Option<Value>, HostError> {
        self.host.image_metadata(image_name)
    }
    fn find_models(&self, query: ModelQuery<'_>) -> Result<Vec<Value>, HostError> {
        self.host.find_models(query)
    }
    fn style_preset(&self, id: &str) -> Result<Option<(String, String)>, HostError> {
        self.host.style_preset(id)
    }
    fn text_file(&self, path: &str) -> Result<String, HostError> {
        self.host.text_file(path)
    }
    fn model_loading(&self, key: &str, submodel: Option<&str>, done: bool) {
        self.host.model_loading(key, submodel, done);
    }
    fn random_u32(&self) -> u32 {
        self.host.random_u32()
    }
    fn owner_is_active(&self) -> bool {
        self.host.owner_is_active()
    }
}

/// Holds the first of two items at a point, lets something happen, and tells how both stand when all is over.
fn play(point: Point, happening: Happening) -> (String, String, String) {
    let world = World::new(QueueMode::Fifo);
    let (reached, is_reached) = mpsc::channel();
    let (say, go) = mpsc::channel();
    let gate = Arc::new(Gate {
        point,
        reached,
        go: Mutex::new(Some(go)),
    });
    let books = world.ledger();
    let items = world.enqueue(&world.alice, &two_sums(), 2, false);
    world.start(Arc::new(Gated { books, gate }));
    is_reached
        .recv_timeout(std::time::Duration::from_mins(1))
        .expect("the point is reached");

    // The same at every point: one item runs, the other waits, and every reader sees it.
    assert_eq!(world.state(items[0]), "in_progress 1, 0 results", "{point:?}");
    assert_eq!(world.state(items[1]), "pending 0, 0 results", "{point:?}");
    assert_eq!(world.counts(), [1, 1, 0, 0, 0], "{point:?}");
    let before = world.told_of(items[0]).len();

    let queue_id = World::queue_id();
    let processor = Arc::clone(&world.queue.processor);
    let mut stopping = None;
    match happening {
        Happening::Nothing | Happening::Panic => {}
        Happening::Cancel => drop(world.queue.cancel_item(&world.alice, &queue_id, items[0]).unwrap()),
        Happening::Delete => world.queue.delete_item(&world.alice, &queue_id, items[0]).unwrap(),
        Happening::Clear => drop(world.queue.clear(&world.alice, &queue_id).unwrap()),
        Happening::Deactivate => {
            let done: rusqlite::Result<usize> = world
                .shared
                .db
                .write(|tx| tx.sql().execute("UPDATE users SET is_active = FALSE WHERE user_id = 'alice'", []));
            done.unwrap();
        }
        Happening::Stop => {
            let stopped = Arc::clone(&processor);
            stopping = Some(std::thread::spawn(move || stopped.stop()));
            // The item is held, so the stop cannot have ended; its wish has to be there before the item goes on.
            while !processor.is_stopping() {
                std::thread::yield_now();
            }
        }
    }
    say.send(happening).unwrap();
    match (happening, stopping) {
        (_, Some(stopping)) => stopping.join().unwrap(),
        (Happening::Clear, None) => world.wait_for_ends(1),
        _ => world.wait_for_ends(2),
    }
    // Nothing follows what was told last.
    processor.stop();
    let told = world.told_of(items[0]).split_off(before).join(", ");
    (world.state(items[0]), told, world.state(items[1]))
}

#[test]
fn an_item_ends_in_one_way_whatever_happens_wherever() {
    for (point, happening, state, told, behind) in TABLE {
        let played = play(*point, *happening);
        let expected = ((*state).to_owned(), (*told).to_owned(), (*behind).to_owned());
        assert_eq!(played, expected, "{point:?}, {happening:?}");
    }
}
