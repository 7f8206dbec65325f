//! What sockets hear, over a real connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use invoke_server::serve;
use serde_json::json;
use tokio::net::TcpListener;

use crate::testkit::TestApp;

/// A client of Engine.IO over plain requests.
struct Polling {
    address: SocketAddr,
    session: String,
}

impl Polling {
    fn exchange(address: SocketAddr, method: &str, query: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let length = body.len();
        let request = format!(
            "{method} /ws/socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            // A line with a length, then a line of content, and so on; what is sent has no line breaks.
            return body.split("\r\n").skip(1).step_by(2).collect();
        }
        body.to_owned()
    }

    /// Connects, greets with a token, and returns what the server answers to that.
    fn open(address: SocketAddr, token: &str) -> (Self, String) {
        let opened = Self::exchange(address, "GET", "", "");
        let found: serde_json::Value = serde_json::from_str(&opened[opened.find('{').unwrap()..=opened.rfind('}').unwrap()]).unwrap();
        let client = Self {
            address,
            session: found["sid"].as_str().unwrap().to_owned(),
        };
        client.say(&format!("40{}", json!({ "token": token })));
        let heard = client.hear();
        (client, heard)
    }

    fn say(&self, text: &str) {
        Self::exchange(self.address, "POST", &format!("&sid={}", self.session), text);
    }

    /// What the server says next, besides asking whether the client is there.
    fn hear(&self) -> String {
        loop {
            let heard = Self::exchange(self.address, "GET", &format!("&sid={}", self.session), "");
            assert!(!heard.contains("Session ID unknown"), "the server has given the client up");
            let (asked, said): (Vec<&str>, Vec<&str>) = heard.split('\u{1e}').partition(|packet| *packet == "2");
            if !asked.is_empty() {
                self.say("3");
            }
            if !said.is_empty() {
                return said.join("\u{1e}");
            }
        }
    }
}

/// All that a client hears until it has heard a text.
async fn heard_until(client: Polling, text: &'static str) -> String {
    let hearing = tokio::task::spawn_blocking(move || {
        let mut heard = String::new();
        while !heard.contains(text) {
            heard.push_str(&client.hear());
        }
        heard
    });
    hearing.await.unwrap()
}

/// A client that is let in.
async fn admitted(address: SocketAddr, token: String) -> Polling {
    let (client, heard) = tokio::task::spawn_blocking(move || Polling::open(address, &token)).await.unwrap();
    assert!(heard.starts_with("40"), "{heard}");
    client
}

async fn listening(app: &TestApp) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(Arc::clone(&app.server), listener, std::future::pending()));
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn leak_9018_a_stranger_is_not_let_in() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    for token in ["", "no token", "null"] {
        let heard = tokio::task::spawn_blocking(move || Polling::open(address, token).1).await.unwrap();
        assert!(heard.starts_with("44"), "{token:?}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leak_9018_the_socket_of_a_deactivated_user_ends() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    let token = app.token("bob").to_owned();
    let client = admitted(address, token).await;
    let path = format!("/api/v1/auth/users/{}", app.user_id("bob").await);
    let off = app.ask_json("root", "PATCH", &path, &json!({"is_active": false})).await;
    assert_eq!(off.status, 200);
    let heard = tokio::task::spawn_blocking(move || client.hear()).await.unwrap();
    assert!(heard.starts_with("41") || heard.starts_with('1'), "{heard}");
}

/// Whoever does not read holds up nobody: neither the queue nor others who read.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_up_neither_the_queue_nor_others() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    let (silent, reading) = (app.token("root").to_owned(), app.token("root").to_owned());
    let clients = tokio::task::spawn_blocking(move || {
        let open = |token: &str| {
            let (client, heard) = Polling::open(address, token);
            assert!(heard.starts_with("40"), "{heard}");
            client.say(&format!("42{}", json!(["subscribe_queue", {"queue_id": "default"}])));
            client
        };
        (vec![open(&silent), open(&silent), open(&silent)], open(&reading))
    });
    let (silent, reading) = clients.await.unwrap();
    // Together more events than any buffer holds; in parts, so that whoever reads keeps up on any machine.
    let (parts, runs) = (15, 100);
    let graph = json!({"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2, "use_cache": false}}, "edges": []});
    let batch = json!({"batch": {"graph": graph, "runs": runs, "destination": "here"}});
    let reading = Arc::new(reading);
    for _ in 0..parts {
        let answer = app.ask_json("alice", "POST", "/api/v1/queue/default/enqueue_batch", &batch).await;
        assert_eq!(answer.status, 200);
        let reading = Arc::clone(&reading);
        let heard = tokio::task::spawn_blocking(move || {
            let mut completed = 0;
            while completed < runs {
                completed += reading.hear().matches("\"status\":\"completed\"").count();
            }
            completed
        });
        assert_eq!(heard.await.unwrap(), runs);
    }
    let counts = app
        .ask("root", "GET", "/api/v1/queue/default/counts_by_destination?destination=here")
        .await
        .json();
    assert_eq!(counts["completed"], json!(parts * runs));
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_key_ends_when_the_key_is_revoked() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    let (key, id) = app.key("bob", "read").await;
    let client = admitted(address, key).await;
    assert_eq!(app.ask("bob", "DELETE", &format!("/api/v1/auth/api-keys/{id}")).await.status, 204);
    let heard = tokio::task::spawn_blocking(move || client.hear()).await.unwrap();
    assert!(heard.starts_with("41") || heard.starts_with('1'), "{heard}");
}

/// A change of an administrator's account is no reason to tell the account's keys what administrators hear.
#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_an_administrators_key_never_hears_what_administrators_hear() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    let (key, _) = app.key("root", "read").await;
    let client = admitted(address, key).await;
    let change = json!({"current_password": crate::testkit::password("root"), "new_password": "An0ther-one"});
    let changed = app.ask_json("root", "PATCH", "/api/v1/auth/me", &change).await;
    assert_eq!(changed.status, 200);
    let token = changed.header("x-refreshed-token").unwrap().to_owned();
    app.ask_json("alice", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "hers"}))
        .await;
    app.ask_with(&token, "POST", "/api/v1/recall/default", Some(&json!({"positive_prompt": "own"})))
        .await;
    let heard = heard_until(client, "\"own\"").await;
    assert!(!heard.contains("hers"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_demoted_administrator_hears_its_own_alone_from_then_on() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    let path = format!("/api/v1/auth/users/{}", app.user_id("bob").await);
    assert_eq!(app.ask_json("root", "PATCH", &path, &json!({"is_admin": true})).await.status, 200);
    let token = app.token("bob").to_owned();
    let client = admitted(address, token).await;
    app.ask_json("alice", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "before"}))
        .await;
    assert_eq!(app.ask_json("root", "PATCH", &path, &json!({"is_admin": false})).await.status, 200);
    app.ask_json("alice", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "after"}))
        .await;
    app.ask_json("bob", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "own"}))
        .await;
    let heard = heard_until(client, "\"own\"").await;
    assert!(heard.contains("\"before\"") && !heard.contains("\"after\""), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_takes_effect_in_its_order_and_is_answered() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    for (asks, hears) in [
        (["subscribe_queue", "unsubscribe_queue"], false),
        (["unsubscribe_queue", "subscribe_queue"], true),
    ] {
        let client = admitted(address, app.token("bob").to_owned()).await;
        let packet = |(n, ask): (usize, &str)| format!("42{n}{}", json!([ask, {"queue_id": "default"}]));
        let said = asks.into_iter().enumerate().map(packet).collect::<Vec<_>>().join("\u{1e}");
        let client = tokio::task::spawn_blocking(move || {
            client.say(&said);
            let mut heard = String::new();
            while !(heard.contains("430[]") && heard.contains("431[]")) {
                heard.push_str(&client.hear());
            }
            client
        });
        let client = client.await.unwrap();
        let batch = json!({"batch": {"graph": {"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2}}, "edges": []}}});
        // One hears of others' items where one listens, of one's own anyway.
        app.ask_json("alice", "POST", "/api/v1/queue/default/enqueue_batch", &batch).await;
        app.ask_json("bob", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "his"}))
            .await;
        assert_eq!(heard_until(client, "\"his\"").await.contains("batch_enqueued"), hears, "{asks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leak_9358_rooms_are_the_servers_and_no_name_opens_one() {
    let app = TestApp::with_accounts();
    let address = listening(&app).await;
    let (alice, bob) = (app.user_id("alice").await, app.token("bob").to_owned());
    let client = tokio::task::spawn_blocking(move || {
        let (client, heard) = Polling::open(address, &bob);
        assert!(heard.starts_with("40"), "{heard}");
        for room in [alice.as_str(), &format!("user:{alice}"), "admin", "default"] {
            for ask in ["subscribe_queue", "join", "subscribe", "subscribe_bulk_download"] {
                let names = json!({"queue_id": room, "room": room, "bulk_download_id": room, "user_id": room});
                client.say(&format!("42{}", json!([ask, names])));
            }
        }
        client
    })
    .await
    .unwrap();
    // Something of Alice's: a workflow, and an archive, of which only she and administrators hear.
    let name = app.upload("alice", None).await;
    app.ask_json("alice", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "hers"}))
        .await;
    app.ask_json("alice", "POST", "/api/v1/images/download", &json!({"image_names": [name]}))
        .await;
    // Then something of Bob's, which he hears.
    app.ask_json("bob", "POST", "/api/v1/recall/default", &json!({"positive_prompt": "his"}))
        .await;
    let heard = heard_until(client, "\"his\"").await;
    assert!(!heard.contains("hers") && !heard.contains("bulk_download"), "{heard}");
}
