//! One connected client: what it may hear, and what waits to be sent to it.
//!
//! A publisher only ever adds to the client's own bounded queue. A client that does not read loses progress first; if that is not enough, it
//! loses its connection, and finds out how things stand when it comes back.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use invoke_core::{
    authn::Session,
    domain::{QueueId, UserId},
    events::{AccessChange, Telling, Viewer, telling},
};
use parking_lot::Mutex;
use socketioxide::{SendError, SocketError, extract::SocketRef};
use tokio::sync::Notify;

use super::letter::Letter;

/// Letters that wait for one client at most.
const WAITING: usize = 1024;
/// Queues that one client may listen to.
const QUEUES: usize = 64;
/// Pauses between attempts to hand a letter to a connection whose buffer is full.
const PAUSE: Duration = Duration::from_millis(10);
/// How long such a connection is given.
const PATIENCE: Duration = Duration::from_secs(30);

/// A letter, and how much of it this client is told.
#[derive(Debug)]
struct Item {
    letter: Arc<Letter>,
    telling: Telling,
}

/// Whom a client belongs to and what waits for it.
#[derive(Debug)]
struct State {
    viewer: Viewer,
    /// Epoch of the token that it showed; none in single-user mode and for API keys.
    token_epoch: Option<i64>,
    /// The API key that it showed, which never makes an administrator.
    key_id: Option<String>,
    /// Whether a change of the account has been announced to it: that is newer than what its admission found.
    told: bool,
    waiting: VecDeque<Item>,
    ended: bool,
}

/// One connected client.
#[derive(Debug)]
pub(super) struct Client {
    state: Mutex<State>,
    call: Notify,
}

impl Client {
    pub(super) fn new(session: &Session) -> Self {
        let viewer = Viewer {
            user_id: session.actor.user_id().clone(),
            is_admin: session.actor.is_admin(),
            queues: Vec::new(),
        };
        let token_epoch = session.claims.as_ref().map(|claims| claims.token_epoch);
        Self {
            state: Mutex::new(State {
                viewer,
                token_epoch,
                key_id: session.key_id.clone(),
                told: false,
                waiting: VecDeque::new(),
                ended: false,
            }),
            call: Notify::new(),
        }
    }

    /// Listens to a queue, unless it listens to too many already. Whether it listens now.
    pub(super) fn subscribe(&self, queue: QueueId) -> bool {
        let queues = &mut self.state.lock().viewer.queues;
        if queues.contains(&queue) {
            return true;
        }
        let has_room = queues.len() < QUEUES;
        if has_room {
            queues.push(queue);
        }
        has_room
    }

    /// No longer listens to a queue.
    pub(super) fn unsubscribe(&self, queue: &QueueId) {
        self.state.lock().viewer.queues.retain(|known| known != queue);
    }

    /// Takes in what a change of an account means for this client.
    pub(super) fn access_changed(&self, user_id: &UserId, access: AccessChange) {
        let mut state = self.state.lock();
        if &state.viewer.user_id != user_id {
            return;
        }
        state.told = true;
        state.viewer.is_admin = access.is_admin && access.is_active && state.key_id.is_none();
        if !access.is_active || state.token_epoch.is_some_and(|epoch| epoch != access.token_epoch) {
            drop(state);
            self.end();
        }
    }

    /// Takes in how the session stands now; none if its token is no longer honoured.
    pub(super) fn settle(&self, session: Option<&Session>) {
        match session {
            Some(session) => {
                let mut state = self.state.lock();
                if !state.told {
                    state.viewer.is_admin = session.actor.is_admin();
                }
            }
            None => self.end(),
        }
    }

    /// The API key that it came with.
    pub(super) fn key_id(&self) -> Option<String> {
        self.state.lock().key_id.clone()
    }

    /// Adds a letter to what waits, if it is for this client. If what is known of accounts `is_stale`, nobody is an administrator.
    pub(super) fn offer(&self, letter: &Arc<Letter>, is_stale: bool) {
        let mut state = self.state.lock();
        let telling = if is_stale && state.viewer.is_admin {
            let user = Viewer {
                is_admin: false,
                ..state.viewer.clone()
            };
            telling(letter.event(), &user)
        } else {
            telling(letter.event(), &state.viewer)
        };
        if state.ended || matches!(telling, Telling::Nothing) {
            return;
        }
        if state.waiting.len() >= WAITING && !make_room(&mut state.waiting, letter) {
            if !letter.event().is_progress() {
                tracing::info!("a client that does not read is disconnected");
                drop(state);
                self.end();
            }
            return;
        }
        state.waiting.push_back(Item {
            letter: Arc::clone(letter),
            telling,
        });
        drop(state);
        self.call.notify_one();
    }

    /// Ends the connection; nothing more is sent.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.waiting = VecDeque::new();
        drop(state);
        self.call.notify_one();
    }

    /// Whether the connection has ended, or is about to.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    fn next(&self) -> Next {
        let mut state = self.state.lock();
        if state.ended {
            return Next::End;
        }
        state.waiting.pop_front().map_or(Next::Wait, Next::Send)
    }

    /// Hands letters to the connection, one by one, until it ends.
    pub(super) async fn deliver(&self, socket: SocketRef) {
        loop {
            match self.next() {
                Next::Wait => self.call.notified().await,
                Next::Send(item) if self.send(&socket, &item).await => {}
                Next::Send(_) | Next::End => break,
            }
        }
        self.end();
        // A full buffer has no place for a farewell; the client's silence then ends the connection.
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            // Another connection may have its number by now.
            if !socket.connected() {
                break;
            }
            match socket.clone().disconnect() {
                Err(SocketError::InternalChannelFull) => tokio::time::sleep(PAUSE).await,
                _ => break,
            }
        }
    }

    /// Whether the connection still takes letters.
    async fn send(&self, socket: &SocketRef, item: &Item) -> bool {
        let Some(text) = item.letter.text(&item.telling) else { return true };
        let mut waited = Duration::ZERO;
        loop {
            match socket.emit(item.letter.name, &*text) {
                Ok(()) => return true,
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    if item.letter.event().is_progress() {
                        return true;
                    }
                    if waited >= PATIENCE || self.state.lock().ended {
                        return false;
                    }
                    tokio::time::sleep(PAUSE).await;
                    waited += PAUSE;
                }
                Err(error) => {
                    tracing::debug!("a client is gone: {error}");
                    return false;
                }
            }
        }
    }
}

enum Next {
    Send(Item),
    Wait,
    End,
}

/// Drops the oldest progress for a letter that is none; progress itself gets no room. Whether there is room now.
fn make_room(waiting: &mut VecDeque<Item>, letter: &Letter) -> bool {
    if letter.event().is_progress() {
        return false;
    }
    let oldest = waiting.iter().position(|item| item.letter.event().is_progress());
    oldest.and_then(|at| waiting.remove(at)).is_some()
}

#[cfg(test)]
mod tests {
    use invoke_core::{
        authz::Actor,
        domain::{BatchId, SessionId},
        env::Timestamp,
        events::{Event, InvocationBase, Published},
    };
    use serde_json::json;

    use super::*;

    fn letter(event: Event) -> Arc<Letter> {
        Arc::new(
            Letter::of(&Published {
                at: Timestamp::from_millis(0),
                event: Arc::new(event),
            })
            .unwrap(),
        )
    }

    fn progress() -> Arc<Letter> {
        let base = InvocationBase {
            queue_id: QueueId::new("default"),
            item_id: 1,
            batch_id: BatchId::new("b"),
            origin: None,
            destination: None,
            user_id: UserId::system(),
            session_id: SessionId::new("s"),
            invocation: json!({}),
            invocation_source_id: "n".into(),
        };
        letter(Event::InvocationProgress {
            base,
            message: "x".into(),
            percentage: None,
            image: None,
            device: None,
        })
    }

    fn cleared() -> Arc<Letter> {
        letter(Event::QueueCleared {
            queue_id: QueueId::new("default"),
            user_id: None,
        })
    }

    fn client() -> Client {
        let client = Client::new(&Session {
            actor: Actor::single_user_administrator(),
            user: None,
            claims: None,
            key_id: None,
        });
        client.subscribe(QueueId::new("default"));
        client
    }

    fn waiting(client: &Client) -> usize {
        client.state.lock().waiting.len()
    }

    #[test]
    fn a_client_that_does_not_read_loses_progress_first_and_then_its_connection() {
        let client = client();
        for _ in 0..WAITING / 2 {
            client.offer(&progress(), false);
            client.offer(&cleared(), false);
        }
        client.offer(&progress(), false);
        assert_eq!(waiting(&client), WAITING);
        for _ in 0..WAITING / 2 {
            client.offer(&cleared(), false);
        }
        assert_eq!((waiting(&client), client.state.lock().ended), (WAITING, false));
        assert!(client.state.lock().waiting.iter().all(|item| !item.letter.event().is_progress()));
        client.offer(&progress(), false);
        assert!(!client.state.lock().ended);
        client.offer(&cleared(), false);
        assert_eq!((waiting(&client), client.state.lock().ended), (0, true));
        client.offer(&cleared(), false);
        assert_eq!(waiting(&client), 0);
    }

    #[test]
    fn while_accounts_cannot_be_looked_at_nobody_is_an_administrator() {
        let (client, foreign) = (
            client(),
            letter(Event::RecallParametersUpdated {
                queue_id: QueueId::new("default"),
                user_id: UserId::new("alice"),
                parameters: json!({}),
            }),
        );
        client.offer(&foreign, true);
        assert_eq!(waiting(&client), 0);
        client.offer(&foreign, false);
        assert_eq!(waiting(&client), 1);
    }

    #[test]
    fn queues_are_heard_only_while_subscribed() {
        let client = client();
        client.unsubscribe(&QueueId::new("default"));
        client.offer(&cleared(), false);
        assert_eq!(waiting(&client), 0);
        for n in 0..2 * QUEUES {
            client.subscribe(QueueId::new(n.to_string()));
        }
        assert_eq!(client.state.lock().viewer.queues.len(), QUEUES);
    }

    #[test]
    fn an_announced_change_counts_for_more_than_what_admission_found() {
        let (client, access) = (
            client(),
            AccessChange {
                is_admin: false,
                is_active: true,
                token_epoch: 0,
            },
        );
        client.access_changed(&UserId::system(), access);
        // What admission read before the demotion comes late.
        client.settle(Some(&Session {
            actor: Actor::single_user_administrator(),
            user: None,
            claims: None,
            key_id: None,
        }));
        assert!(!client.state.lock().viewer.is_admin);
    }

    #[test]
    fn changes_of_the_account_take_effect_at_once() {
        let client = client();
        let access = AccessChange {
            is_admin: false,
            is_active: true,
            token_epoch: 0,
        };
        client.access_changed(&UserId::new("somebody"), access);
        assert!(client.state.lock().viewer.is_admin);
        client.access_changed(&UserId::system(), access);
        assert!(!client.state.lock().viewer.is_admin && !client.state.lock().ended);
        client.access_changed(
            &UserId::system(),
            AccessChange {
                is_active: false,
                ..access
            },
        );
        assert!(client.state.lock().ended);
    }
}
