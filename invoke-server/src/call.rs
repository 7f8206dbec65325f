//! A request as a handler sees it: who asks, and checked parameters.

use bytes::Bytes;
use http::HeaderMap;
use invoke_core::{Core, authn::Session, authz::Actor, domain::Error};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{error::Result, multipart::Part, server::Server};

/// One request. Its parameters have the shapes that the route declares, defaults filled in.
pub struct Call<'s> {
    /// The server and, through it, the core.
    pub server: &'s Server,
    /// On whose behalf things are done.
    pub actor: Actor,
    /// By what right they ask; none where the route asks nobody.
    pub session: Option<Session>,
    /// Headers of the request.
    pub headers: &'s HeaderMap,
    /// Address of whoever asks: of the peer, or of whom a trusted proxy asks for.
    pub peer: Option<std::net::IpAddr>,
    /// Whether the peer is a trusted proxy.
    pub by_proxy: bool,
    pub(crate) path: Map<String, Value>,
    pub(crate) query: Map<String, Value>,
    pub(crate) body: Value,
    pub(crate) parts: Vec<Part>,
}

impl<'s> Call<'s> {
    /// What is served.
    pub fn core(&self) -> &'s Core {
        &self.server.core
    }

    /// A path parameter that is a text.
    pub fn path(&self, name: &str) -> &str {
        self.path.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A path parameter that is a whole number.
    pub fn path_int(&self, name: &str) -> i64 {
        self.path.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    /// All query parameters at once.
    pub fn query<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(read(Value::Object(std::mem::take(&mut self.query)))?)
    }

    /// A query parameter that is a text.
    pub fn query_text(&self, name: &str) -> Option<&str> {
        self.query.get(name).and_then(Value::as_str)
    }

    /// A query parameter that is a boolean.
    pub fn query_bool(&self, name: &str) -> Option<bool> {
        self.query.get(name).and_then(Value::as_bool)
    }

    /// A query parameter that is a whole number.
    pub fn query_int(&self, name: &str) -> Option<i64> {
        self.query.get(name).and_then(Value::as_i64)
    }

    /// A query parameter that is a list of texts; `None` if it was not given.
    pub fn query_list(&self, name: &str) -> Option<Vec<String>> {
        let items = self.query.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The body, as the type that its shape stands for. It can be taken once.
    pub fn body<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(read(self.body.take())?)
    }

    /// The body as JSON. It can be taken once.
    pub fn body_json(&mut self) -> Value {
        self.body.take()
    }

    /// A part of a form that is a file; of several the last.
    pub fn file(&self, name: &str) -> Option<&Part> {
        self.parts.iter().rfind(|part| part.name == name && part.is_file())
    }

    /// A part of a form that is a text.
    pub fn form_text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// A header that is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What was checked against a shape must fit the type that stands for it; if not, shape and type contradict each other.
fn read<T: DeserializeOwned>(value: Value) -> std::result::Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::internal("reading checked parameters", error))
}

/// A body on its way in.
#[derive(Debug, Default)]
pub(crate) enum RawBody {
    /// Not read.
    #[default]
    Unread,
    /// Bytes with their content type.
    Bytes(Bytes),
    /// The parts of a form.
    Parts(Vec<Part>),
}
