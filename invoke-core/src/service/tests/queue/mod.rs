//! The queue with its workers, on a database in memory.

mod calls;
mod faults;
mod guide;
mod order;
mod snapshots;

use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::{
    models::{Installer, Models},
    queue::{Queue, Runs},
};
use super::{Images, Shared, actor};
use crate::{
    authz::Actor,
    config::{Config, QueueMode, Settings},
    db::Db,
    domain::{ItemId, QueueId, queue_item::ItemStatus},
    engine::{Device, Engine, LocalEngine},
    env::{Env, ManualClock, SeededRng, Timestamp},
    events::Event,
    graph::Registry,
    nodes::{self, cache::NodeCache},
    queue::{Asking, Claim, Ledger, Processor, Work},
};

pub(super) struct World {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    pub(super) clock: Arc<ManualClock>,
    pub(super) alice: Actor,
    pub(super) bob: Actor,
    registry: Arc<Registry>,
    env: Env,
    /// What was told, in order: item and what happened to it.
    told: Arc<Mutex<Vec<(ItemId, String)>>>,
    ends: Mutex<mpsc::Receiver<ItemId>>,
    _listening: crate::events::Subscription,
    _root: tempfile::TempDir,
}

impl World {
    pub(super) fn new(mode: QueueMode) -> Self {
        let root = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_790_000_000_000)));
        let env = Env::new(Arc::clone(&clock) as _, Arc::new(SeededRng::new(1)));
        let settings = Settings {
            multiuser: true,
            session_queue_mode: mode,
            ..Settings::default()
        };
        let config = Arc::new(Config::from_settings(root.path(), settings));
        let db = Arc::new(Db::in_memory(env.now()).unwrap());
        let people: rusqlite::Result<()> = db.write(|tx| {
            tx.sql().execute_batch(
                "INSERT INTO users (user_id, email, password_hash) VALUES ('alice', 'alice@example.com', 'x'), ('bob', 'bob@example.com', 'x')",
            )
        });
        people.unwrap();
        let shared = super::shared(config, env.clone(), db);
        let registry = Arc::new(nodes::registry(None, None));
        let queue = Queue::new(Arc::clone(&shared), Arc::new(Processor::new()), Arc::clone(&registry));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (tell, ends) = mpsc::channel();
        let heard = Arc::clone(&told);
        let listening = shared.bus.subscribe(move |published| {
            let (item, what) = match &*published.event {
                Event::InvocationStarted(base) => (base.item_id, format!("{} started", base.invocation_source_id)),
                Event::InvocationComplete { base, .. } => (base.item_id, format!("{} complete", base.invocation_source_id)),
                Event::InvocationError { base, .. } => (base.item_id, format!("{} error", base.invocation_source_id)),
                Event::QueueItemStatusChanged(change) => {
                    if change.status.is_terminal() {
                        // Nobody waits for it any more.
                        let _ = tell.send(change.item_id);
                    }
                    (change.item_id, change.status.as_str().to_owned())
                }
                _ => return,
            };
            heard.lock().push((item, what));
        });
        Self {
            shared,
            queue,
            clock,
            alice: actor("alice", false),
            bob: actor("bob", false),
            registry,
            env,
            told,
            ends: Mutex::new(ends),
            _listening: listening,
            _root: root,
        }
    }

    pub(super) fn queue_id() -> QueueId {
        QueueId::new("default")
    }

    pub(super) fn ledger(&self) -> Runs {
        let shared = Arc::clone(&self.shared);
        let installer = Arc::new(Installer::new(Arc::clone(&shared)));
        let models = Models::new(Arc::clone(&shared), installer);
        Runs::new(self.queue.clone(), Images::new(shared), models)
    }

    pub(super) fn engine(&self) -> Arc<dyn Engine> {
        let results = Arc::new(NodeCache::new(0));
        Arc::new(LocalEngine::on_cpu(Arc::clone(&self.registry), self.env.clone(), 1 << 20, results))
    }

    pub(super) fn start(&self, ledger: Arc<dyn Ledger>) {
        self.queue.processor.start(&[self.engine()], &ledger).unwrap();
    }

    /// Enqueues a batch and returns its items' numbers, ascending.
    pub(super) fn enqueue(&self, owner: &Actor, graph: &Value, runs: u64, prepend: bool) -> Vec<ItemId> {
        self.clock.advance_millis(1);
        let batch = json!({"graph": graph, "runs": runs});
        let done = self.queue.enqueue_batch(owner, &Self::queue_id(), batch, prepend).unwrap();
        let mut ids: Vec<ItemId> = done["item_ids"].as_array().unwrap().iter().filter_map(Value::as_i64).collect();
        ids.sort_unstable();
        ids
    }

    /// Waits until so many items have ended.
    pub(super) fn wait_for_ends(&self, n: usize) {
        let ends = self.ends.lock();
        for _ in 0..n {
            ends.recv_timeout(std::time::Duration::from_mins(1)).expect("an item ends");
        }
    }

    pub(super) fn told_of(&self, item: ItemId) -> Vec<String> {
        let told = self.told.lock();
        told.iter().filter(|(id, _)| *id == item).map(|(_, what)| what.clone()).collect()
    }

    /// Status, changes of status, nodes with results, error; `gone` if there is no such item.
    pub(super) fn state(&self, item: ItemId) -> String {
        let admin = Actor::local_operator();
        let Ok(row) = self.queue.item(&admin, &Self::queue_id(), item) else {
            return "gone".into();
        };
        let results = row["session"]["results"].as_object().map_or(0, serde_json::Map::len);
        let error = row["error_message"].as_str().map(|text| format!(": {text}")).unwrap_or_default();
        format!(
            "{} {}, {results} results{error}",
            row["status"].as_str().unwrap(),
            row["status_sequence"]
        )
    }

    /// Counts by status, as the badge shows them.
    pub(super) fn counts(&self) -> [i64; 5] {
        let status = self.queue.status(&Actor::local_operator(), &Self::queue_id()).unwrap();
        [
            ItemStatus::Pending,
            ItemStatus::InProgress,
            ItemStatus::Completed,
            ItemStatus::Failed,
            ItemStatus::Canceled,
        ]
        .map(|kind| status["queue"][kind.as_str()].as_i64().unwrap())
    }
}

/// Claims for a device that takes so many items at a time.
pub(super) fn claim(ledger: &dyn Ledger, device: &str, loaded: &[String], at_a_time: usize) -> Vec<Work> {
    let device = Device {
        id: device.into(),
        name: device.into(),
    };
    let asking = Asking {
        device: &device,
        loaded,
        at_a_time: &|_| at_a_time,
    };
    match ledger.claim(&asking) {
        Claim::Work(work) => work,
        _ => Vec::new(),
    }
}

/// One sum after another.
pub(super) fn two_sums() -> Value {
    let edge = json!({"source": {"node_id": "a", "field": "value"}, "destination": {"node_id": "b", "field": "a"}});
    json!({"id": "g", "nodes": {"a": {"id": "a", "type": "add", "a": 1, "b": 2}, "b": {"id": "b", "type": "add", "b": 4}}, "edges": [edge]})
}
