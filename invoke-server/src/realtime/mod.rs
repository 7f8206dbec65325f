//! Telling clients over Socket.IO what happens.
//!
//! A socket belongs to an account. What it is told is decided by `invoke_core::events` from that account's rights at the moment of the
//! event; there are no rooms whose names a client could choose. Subscribing to a queue only adds that queue to what the socket
//! listens to.

mod client;
mod hub;
mod letter;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use invoke_core::{
    authn::{Intent, Presented, Session},
    authz::Actor,
    domain::QueueId,
};
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{AckSender, MaybeExtension, SocketRef, TryData},
    handler::ConnectHandler,
    layer::SocketIoLayer,
};

use crate::{auth::bearer, route::Weight, server::Server};

use client::Client;

pub use hub::Hub;

/// Where clients connect.
pub const PATH: &str = "/ws/socket.io";
/// How long a connection may stay without saying who it is.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that one message of a client may have.
const MAX_MESSAGE: u64 = 1_000_000;
/// Packets that wait in a connection's own buffer.
const PACKETS: usize = 256;
/// How often accounts are looked at for changes that other processes made.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// What a refused client is told.
#[derive(Debug)]
struct Rejected;

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection rejected by server")
    }
}

/// The Socket.IO side of a server.
pub struct Realtime {
    /// Puts it in front of the HTTP side.
    pub layer: SocketIoLayer,
    io: SocketIo,
    hub: Arc<Hub>,
}

impl Realtime {
    /// Listens to events from now on.
    pub fn new(server: &Arc<Server>) -> Self {
        let (layer, io) = SocketIo::builder()
            .req_path(PATH)
            .connect_timeout(CONNECT_PATIENCE)
            .max_payload(MAX_MESSAGE)
            .max_buffer_size(PACKETS)
            .build_layer();
        let hub = Hub::listening_to(server.core.bus());
        let admission = {
            let (hub, server) = (Arc::clone(&hub), Arc::clone(server));
            move |socket: SocketRef, TryData(auth): TryData<Value>| {
                let (hub, server) = (Arc::clone(&hub), Arc::clone(&server));
                async move { admit(&hub, &server, &socket, auth.ok()).await }
            }
        };
        let welcome = {
            let (hub, server) = (Arc::clone(&hub), Arc::clone(server));
            move |socket: SocketRef, admitted: MaybeExtension<Admitted>| {
                // At once, not when the task that follows gets its turn: what happens from now on is for this client.
                if let Some(admitted) = &admitted.0 {
                    hub.add(&socket, &admitted.client);
                }
                let server = Arc::clone(&server);
                async move {
                    match admitted.0 {
                        // A change of the account between admission and listening was not announced to this client.
                        Some(admitted) => admitted.client.settle(session(&server, admitted.token).await.as_ref()),
                        // Nobody gets here without having been admitted.
                        None => drop(socket.disconnect()),
                    }
                }
            }
        };
        // The namespace is a constant; declaring it cannot fail.
        io.ns("/", welcome.with(admission));
        Self { layer, io, hub }
    }

    /// The clients that are connected.
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// Looks for changed accounts and ended keys every half minute, for as long as it is polled.
    pub async fn sweep(server: Arc<Server>, hub: Arc<Hub>) {
        let mut rounds = tokio::time::interval(SWEEP_EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        rounds.tick().await;
        loop {
            rounds.tick().await;
            let (auth, authenticator) = (server.core.auth.clone(), Arc::clone(server.core.authenticator()));
            let connected = Arc::clone(&hub);
            // The changes are published; the hub hears of them as of all others.
            let swept = server
                .lanes
                .run(Weight::Blocking, move || {
                    connected.end_keys(&authenticator.ended_keys(connected.keys())?);
                    auth.sweep(&Actor::local_operator())
                })
                .await;
            match swept {
                Ok(Err(error)) => {
                    tracing::warn!("accounts could not be looked at: {error}");
                    hub.note_sweep(false);
                }
                Ok(Ok(_)) => hub.note_sweep(true),
                Err(_) => {}
            }
        }
    }

    /// Sockets that are connected.
    pub fn connected(&self) -> usize {
        self.hub.len()
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.io.close().await;
    }
}

/// A client that may come in.
#[derive(Clone)]
struct Admitted {
    token: Option<String>,
    client: Arc<Client>,
}

/// The session of the token that a client shows: in its greeting, or in the header of its first request.
async fn session(server: &Server, token: Option<String>) -> Option<Session> {
    let authenticator = Arc::clone(server.core.authenticator());
    let looked_up = server.lanes.run(Weight::Blocking, move || {
        let presented = token.as_deref().map_or(Presented::Nothing, Presented::Bearer);
        authenticator.session(presented, Intent::Read)
    });
    looked_up.await.ok()?.ok()
}

fn token_of(auth: Option<&Value>, headers: &HeaderMap) -> Option<String> {
    let greeted = auth
        .and_then(|auth| auth.get("token"))
        .and_then(Value::as_str)
        .filter(|token| !token.is_empty());
    greeted.or_else(|| bearer(headers)).map(str::to_owned)
}

/// Lets a client in, and hears what it says from then on: it may speak before its welcome is over.
async fn admit(hub: &Arc<Hub>, server: &Server, socket: &SocketRef, auth: Option<Value>) -> Result<(), Rejected> {
    let token = token_of(auth.as_ref(), &socket.req_parts().headers);
    let session = session(server, token.clone()).await.ok_or(Rejected)?;
    let client = Arc::new(Client::new(&session));
    let (listener, hub, id) = (Arc::clone(&client), Arc::downgrade(hub), socket.id);
    socket.on("subscribe_queue", {
        let (listener, hub) = (Arc::clone(&listener), hub.clone());
        named_queue(move |queue| {
            if let Some(hub) = hub.upgrade() {
                hub.listen(id, &listener);
            }
            listener.subscribe(queue)
        })
    });
    socket.on("unsubscribe_queue", {
        let listener = Arc::clone(&listener);
        named_queue(move |queue| {
            listener.unsubscribe(&queue);
            true
        })
    });
    socket.on_disconnect(move || async move {
        listener.end();
        if let Some(hub) = hub.upgrade() {
            hub.remove(id, &listener);
        }
    });
    socket.extensions.insert(Admitted { token, client });
    Ok(())
}

/// Takes the queue that a client names. It is done when the message is read, so that a client's messages take effect in their order, and answered
/// where the client asks for an answer and it was done.
fn named_queue(
    takes: impl Fn(QueueId) -> bool + Clone + Send + Sync + 'static,
) -> impl FnOnce(TryData<Value>, AckSender) -> std::future::Ready<()> + Clone + Send + Sync + 'static {
    move |TryData(data), answer| {
        if named(data.ok().as_ref(), "queue_id").is_some_and(|queue| takes(QueueId::new(queue))) {
            // A connection whose buffer is full loses its answer, as it loses progress.
            drop(answer.send(&[(); 0]));
        }
        std::future::ready(())
    }
}

/// A name that a client sent, of a bearable length.
fn named<'d>(data: Option<&'d Value>, key: &str) -> Option<&'d str> {
    data?.get(key)?.as_str().filter(|name| name.len() <= 255)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_greeting_comes_before_the_header() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer h"))]);
        assert_eq!(token_of(Some(&json!({"token": "g"})), &headers).as_deref(), Some("g"));
        assert_eq!(token_of(Some(&json!({"token": null})), &headers).as_deref(), Some("h"));
        assert_eq!(token_of(None, &HeaderMap::new()), None);
    }
}
