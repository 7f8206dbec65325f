//! All connected clients.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
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
    /// They belong to their connections: what is left of one that is gone is put away at the next sweep.
    clients: Mutex<HashMap<Sid, Weak<Client>>>,
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
        self.each(|client| client.offer(&letter, is_stale));
    }

    fn each(&self, act: impl FnMut(Arc<Client>)) {
        self.clients.lock().values().filter_map(Weak::upgrade).for_each(act);
    }

    /// Takes in that an account's access is now this.
    pub(super) fn access_changed(&self, user_id: &UserId, access: AccessChange) {
        self.each(|client| client.access_changed(user_id, access));
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
        let mut clients = self.clients.lock();
        clients.retain(|_, client| client.strong_count() > 0);
        let mut keys: Vec<String> = clients.values().filter_map(|client| client.upgrade()?.key_id()).collect();
        drop(clients);
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Ends the connections of clients that came with these API keys.
    pub(super) fn end_keys(&self, ended: &[String]) {
        self.each(|client| {
            if client.key_id().is_some_and(|key| ended.contains(&key)) {
                client.end();
            }
        });
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
            clients.insert(id, Arc::downgrade(client));
        }
    }

    /// Forgets a client whose connection has ended. Another one may have its number by now.
    pub(super) fn remove(&self, id: Sid, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        if clients.get(&id).is_some_and(|known| known.as_ptr() == Arc::as_ptr(client)) {
            clients.remove(&id);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.clients.lock().values().filter(|client| client.strong_count() > 0).count()
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
