//! A server on a fresh root with an administrator and two users, and requests to it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use invoke_core::{
    Core,
    authn::Email,
    authz::Actor,
    config::{Config, Settings},
    env::Env,
    service::{
        Door,
        auth::{Credentials, NewAccount, Setup},
    },
};
use invoke_server::{Options, Peer, Server, router};
use serde_json::Value;
use warp::{Filter, filters::BoxedFilter, reply::Response};

/// A running server.
pub(crate) struct TestApp {
    pub(crate) server: Arc<Server>,
    filter: BoxedFilter<(Response,)>,
    pub(crate) root: tempfile::TempDir,
    tokens: Vec<(&'static str, String)>,
}

/// A picture of a few pixels.
pub(crate) const PICTURE: &[u8] = include_bytes!("../../../tests/contract/fixtures/small.png");

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(crate) fn password(name: &str) -> String {
    format!("Passw0rd-{name}")
}

impl TestApp {
    /// A server with accounts: `root`, an administrator, and the users `alice` and `bob`.
    pub(crate) fn with_accounts() -> Self {
        Self::new(true, true, |_| {}).populated()
    }

    /// The same, with other settings.
    pub(crate) fn with_accounts_and(change: impl FnOnce(&mut Settings)) -> Self {
        Self::new(true, true, change).populated()
    }

    /// The same, with its database and pictures on the disk.
    pub(crate) fn on_disk() -> Self {
        Self::new(true, false, |_| {}).populated()
    }

    fn populated(mut self) -> Self {
        let app = &mut self;
        let auth = app.server.core.auth.clone();
        let email = |name: &str| Email::parse(&format!("{name}@example.com")).unwrap();
        let nobody = Actor::anonymous();
        auth.setup(
            &nobody,
            &Setup {
                email: email("root"),
                display_name: None,
                password: password("root"),
            },
        )
        .unwrap();
        for name in ["alice", "bob"] {
            let account = NewAccount {
                email: email(name),
                display_name: None,
                password: password(name),
                is_admin: false,
            };
            auth.create_user(&Actor::local_operator(), &account).unwrap();
        }
        let tokens = ["root", "alice", "bob"].map(|name| {
            let credentials = Credentials {
                email: email(name),
                password: password(name),
                remember_me: false,
            };
            (name, auth.login(&nobody, &credentials, None).unwrap().token)
        });
        app.tokens = tokens.into();
        self
    }

    /// A server without accounts.
    pub(crate) fn single_user() -> Self {
        Self::new(false, true, |_| {})
    }

    fn new(multiuser: bool, in_memory: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            multiuser,
            use_memory_db: in_memory,
            ..Settings::default()
        };
        change(&mut settings);
        let core = Core::of_config(Config::from_settings(root.path(), settings), Env::system(), Door::Server).unwrap();
        let options = Options::of(core.config());
        let server = Arc::new(Server::new(core, options).unwrap());
        Self {
            filter: router(Arc::clone(&server)).boxed(),
            server,
            root,
            tokens: Vec::new(),
        }
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        self.tokens
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, token)| token.as_str())
            .expect("one of the accounts above")
    }

    /// Asks as one of the accounts, or as `anonymous`.
    pub(crate) async fn ask(&self, who: &str, method: &str, path: &str) -> Answer {
        self.send(who, method, path, &[], b"").await
    }

    /// Asks with a JSON body.
    pub(crate) async fn ask_json(&self, who: &str, method: &str, path: &str, body: &Value) -> Answer {
        self.send(
            who,
            method,
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
        .await
    }

    /// Uploads a picture, perhaps to a board, and returns its name.
    pub(crate) async fn upload(&self, who: &str, board: Option<&str>) -> String {
        let on = board.map(|board| format!("&board_id={board}")).unwrap_or_default();
        let path = format!("/api/v1/images/upload?image_category=user&is_intermediate=false{on}");
        let mut body =
            b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n".to_vec();
        body.extend_from_slice(PICTURE);
        body.extend_from_slice(b"\r\n--b--\r\n");
        let answer = self
            .send(who, "POST", &path, &[("content-type", "multipart/form-data; boundary=b")], &body)
            .await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["image_name"].as_str().unwrap().to_owned()
    }

    /// Makes a board and returns its identifier.
    pub(crate) async fn board(&self, who: &str, visibility: &str) -> String {
        let made = self.ask(who, "POST", "/api/v1/boards/?board_name=board").await.json();
        let id = made["board_id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/boards/{id}");
        let changed = self
            .ask_json(who, "PATCH", &path, &serde_json::json!({"board_visibility": visibility}))
            .await;
        assert_eq!(changed.status, 201);
        id
    }

    /// The identifier of an account.
    pub(crate) async fn user_id(&self, who: &str) -> String {
        self.ask(who, "GET", "/api/v1/auth/me").await.json()["user_id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Asks with any bearer, perhaps with a JSON body.
    pub(crate) async fn ask_with(&self, bearer: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {bearer}");
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send("anonymous", method, path, &headers, body.as_bytes()).await
    }

    /// Makes an API key for an account: the key and its identifier.
    pub(crate) async fn key(&self, who: &str, scope: &str) -> (String, String) {
        let made = self
            .ask_json(
                who,
                "POST",
                "/api/v1/auth/api-keys",
                &serde_json::json!({"name": "k", "scope": scope}),
            )
            .await
            .json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["key"]), text(&made["record"]["key_id"]))
    }

    /// Asks with any headers and body.
    pub(crate) async fn send(&self, who: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send_from(None, who, (method, path), headers, body).await
    }

    /// The same, from an address.
    pub(crate) async fn send_from(
        &self,
        peer: Option<IpAddr>,
        who: &str,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = warp::test::request().method(method).path(path).body(body);
        if let Some(peer) = peer {
            request = request.extension(Peer(SocketAddr::new(peer, 5000)));
        }
        if who != "anonymous" {
            request = request.header("authorization", format!("Bearer {}", self.token(who)));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = tokio::time::timeout(Duration::from_mins(1), request.reply(&self.filter))
            .await
            .expect("an answer within a minute");
        Answer {
            status: reply.status().as_u16(),
            headers: reply.headers().clone(),
            body: reply.body().to_vec(),
        }
    }
}
