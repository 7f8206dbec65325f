//! All connected clients.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use invoke_core::{
    domain::UserId,
    events::{AccessChange, Bus, Event, Published, Subscription},
};
use parking_lot::Mutex;
use socketioxide::{extract::SocketRef, socket::Sid};

use super::{client::Client, letter::Letter};

/// How often accounts may not be looked at before nobody counts as an administrator: they may have been demoted by another process.
const PATIENCE: u32 = 3;

/// All connected clients of one server.
#[derive(Default)]
pub struct Hub {
    clients: Mutex<HashMap<Sid, Arc<Client>>>,
    subscription: Mutex<Option<Subscription>>,
    /// How often in a row accounts could not be looked at.
    unseen: AtomicU32,
}

impl Hub {
    /// A hub that hands on what is published on a bus.
    pub fn listening_to(bus: &Bus) -> Arc<Self> {
        let hub = Arc::new(Self::default());
        let listener = Arc::downgrade(&hub);
        let subscription = bus.subscribe(move |published| {
            if let Some(hub) = listener.upgrade() {
                hub.hand_on(published);
            }
        });
        *hub.subscription.lock() = Some(subscription);
        hub
    }

    /// Puts an event before every client whom it concerns. Runs on the publisher's thread and never waits.
    fn hand_on(&self, published: &Published) {
        if let Event::UserAccessChanged(change) = &*published.event {
            self.access_changed(&change.user_id, change.access);
        }
        if let Event::ApiKeyRevoked { key_id } = &*published.event {
            self.end_keys(std::slice::from_ref(key_id));
        }
        let Some(letter) = Letter::of(published).map(Arc::new) else {
            return;
        };
        let is_stale = self.unseen.load(Ordering::Relaxed) >= PATIENCE;
        for client in self.clients.lock().values() {
            client.offer(&letter, is_stale);
        }
    }

    /// Takes in that an account's access is now this.
    pub(super) fn access_changed(&self, user_id: &UserId, access: AccessChange) {
        for client in self.clients.lock().values() {
            client.access_changed(user_id, access);
        }
    }

    /// Accounts have been looked at, or could not be.
    pub(super) fn note_sweep(&self, could: bool) {
        if could {
            self.unseen.store(0, Ordering::Relaxed);
        } else {
            self.unseen.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The API keys that clients came with.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.clients.lock().values().filter_map(|client| client.key_id()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Ends the connections of clients that came with these API keys.
    pub(super) fn end_keys(&self, ended: &[String]) {
        for client in self.clients.lock().values() {
            if client.key_id().is_some_and(|key| ended.contains(&key)) {
                client.end();
            }
        }
    }

    /// Adds a client, if it is not there yet, and begins to deliver to it.
    pub(super) fn add(&self, socket: &SocketRef, client: &Arc<Client>) {
        self.listen(socket.id, client);
        let (delivered, socket) = (Arc::clone(client), socket.clone());
        tokio::spawn(async move { delivered.deliver(socket).await });
    }

    /// Lets what happens be put before a client, unless its connection has ended.
    pub(super) fn listen(&self, id: Sid, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        if !client.has_ended() {
            clients.insert(id, Arc::clone(client));
        }
    }

    /// Forgets a client whose connection has ended.
    pub(super) fn remove(&self, id: Sid) {
        self.clients.lock().remove(&id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.clients.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("clients", &self.len()).finish()
    }
}
