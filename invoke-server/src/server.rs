//! One running server, and the way of a request through it.
//!
//! The order of checks is the original's: the body is parsed, then the caller is admitted, then all parameters are checked, and then the
//! handler runs. A form is only read once its sender is admitted. A denial is an answer, never a warp rejection, which would mean
//! "try the next route".

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use invoke_core::{Core, config::Config, domain::Error};
use warp::reply::Response;

use crate::{
    auth,
    blocking::{self, Lanes, NotDone},
    call::{Call, RawBody},
    compress::compress,
    cors::Cors,
    error::{Fault, Result},
    input,
    logging::LogLevel,
    multipart,
    openapi::Document,
    proxies::Proxies,
    reply::{Content, Reply},
    route::{Body, Route, Weight},
    table::Table,
    tls::Tls,
    ui::Ui,
};

/// How long the server waits for the next piece of a body.
const BODY_PATIENCE: Duration = Duration::from_mins(1);
/// Bytes sent at a time of a large file.
const PIECE: usize = 256 << 10;

/// What is settled when a server starts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What pages of other origins may do.
    pub cors: Cors,
    /// 1 to 9; 0 for no compression.
    pub compression_level: u32,
    /// Folder of the web client; a small page of our own without it.
    pub web_dir: Option<PathBuf>,
    /// Prefix under which a proxy serves us: empty, or beginning and not ending with a slash.
    pub base_path: String,
    /// Proxies whose word about their clients is taken.
    pub proxies: Proxies,
    /// With what the server itself speaks TLS, if it does.
    pub tls: Option<Tls>,
    /// What is logged.
    pub log_level: LogLevel,
}

impl Options {
    /// What the configuration says.
    pub fn of(config: &Config) -> Self {
        let settings = config.settings();
        Self {
            cors: Cors {
                origins: settings.allow_origins.clone(),
                credentials: settings.allow_credentials,
                methods: settings.allow_methods.clone(),
                headers: settings.allow_headers.clone(),
            },
            compression_level: u32::try_from(settings.http_compression_level).unwrap_or_default(),
            web_dir: config.web_dir().map(Path::to_owned),
            base_path: settings.base_url.as_ref().map(|base| base.as_str().to_owned()).unwrap_or_default(),
            proxies: Proxies::parse(&settings.forwarded_allow_ips),
            tls: None,
            log_level: LogLevel::default(),
        }
    }
}

/// One running server.
pub struct Server {
    /// What is served.
    pub core: Core,
    /// What was settled at the start.
    pub options: Options,
    pub(crate) lanes: Lanes,
    table: Table,
    ui: Ui,
    document: OnceLock<Document>,
    /// Tells this run's requests from another's.
    run: u32,
    requests: AtomicU64,
}

/// A request without its body.
pub struct Head {
    /// Method.
    pub method: http::Method,
    /// Path as it came.
    pub path: String,
    /// Query as it came, without the question mark.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Address of the peer.
    pub peer: Option<IpAddr>,
}

impl Server {
    /// A server with all its routes.
    ///
    /// # Errors
    /// Names two routes that exclude each other.
    pub fn new(core: Core, options: Options) -> Result<Self, String> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            run: core.env().random_u32(),
            lanes: Lanes::new(processors, core.auth.hashing_lanes()),
            core,
            table: Table::new(crate::api::routes())?,
            ui: Ui::new(options.web_dir.clone(), &options.base_path),
            document: OnceLock::new(),
            requests: AtomicU64::new(0),
            options,
        })
    }

    /// The OpenAPI document.
    pub(crate) fn document(&self) -> &Document {
        self.document
            .get_or_init(|| Document::of(crate::api::routes(), self.core.registry()))
    }

    /// Answers a request.
    pub async fn dispatch<S, B>(self: Arc<Self>, head: Head, body: S) -> Response
    where
        S: Stream<Item = std::result::Result<B, warp::Error>> + Send + Sync + 'static,
        B: Buf + Send,
    {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let begun = self.core.env().monotonic_ns();
        let head = Arc::new(head);
        let reply = match self.options.cors.preflight(&head.method, &head.headers) {
            Some(reply) => reply,
            None => self.options.cors.mark(self.answer(&head, body).await, &head.headers),
        };
        let reply = reply
            .header("x-request-id", &format!("{:08x}-{number:x}", self.run))
            .header("x-content-type-options", "nosniff");
        let microseconds = (self.core.env().monotonic_ns() - begun) / 1000;
        let status = reply.status.as_u16();
        if reply.status.is_server_error() {
            tracing::warn!(method = %head.method, path = head.path, status, microseconds, request = format!("{:08x}-{number:x}", self.run), "request");
        } else {
            tracing::debug!(method = %head.method, path = head.path, status, microseconds, request = format!("{:08x}-{number:x}", self.run), "request");
        }
        into_response(reply)
    }

    async fn answer<S, B>(self: &Arc<Self>, head: &Arc<Head>, body: S) -> Reply
    where
        S: Stream<Item = std::result::Result<B, warp::Error>> + Send + Sync + 'static,
        B: Buf + Send,
    {
        let Some(found) = self.table.find(&head.method, &head.path) else {
            let (server, head) = (Arc::clone(self), Arc::clone(head));
            return self
                .done(Weight::Blocking, move || {
                    let known = head.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
                    let reply = server.ui.answer(&head.method, &head.path, &head.query, known);
                    compress(reply, &head.headers, server.options.compression_level)
                })
                .await;
        };
        let (route, path) = (*found.route, found.path);
        let body = match self.read(&route, head, body).await {
            Ok(body) => body,
            Err(reply) => return *reply,
        };
        let (server, head) = (Arc::clone(self), Arc::clone(head));
        self.done(route.weight, move || server.run(&route, path, &head, body)).await
    }

    async fn done(&self, weight: Weight, work: impl FnOnce() -> Reply + Send + 'static) -> Reply {
        match self.lanes.run(weight, work).await {
            Ok(reply) => reply,
            Err(NotDone::Busy) => Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The server is busy. Try again in a moment.")
                .into_reply()
                .header("retry-after", "1"),
            Err(NotDone::Panicked) => Fault::from(Error::internal("answering a request", "it panicked")).into_reply(),
        }
    }

    /// Reads the body that a route declares.
    async fn read<S, B>(self: &Arc<Self>, route: &Route, head: &Arc<Head>, body: S) -> std::result::Result<RawBody, Box<Reply>>
    where
        S: Stream<Item = std::result::Result<B, warp::Error>> + Send + Sync + 'static,
        B: Buf + Send,
    {
        let limit = route.body_limit;
        // The connection cannot serve another request if this one's body is left unread.
        let refused = |fault: Fault| Box::new(fault.into_reply().header("connection", "close"));
        if matches!(route.body, Body::None) {
            return Ok(RawBody::Unread);
        }
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if text(header::CONTENT_LENGTH)
            .and_then(|text| text.parse::<usize>().ok())
            .is_some_and(|length| length > limit)
        {
            return Err(refused(too_large(limit)));
        }
        let pieces = body.map(|piece| piece.map(|mut buf| buf.copy_to_bytes(buf.remaining())));
        if !matches!(route.body, Body::Form(_)) {
            return match tokio::time::timeout(10 * BODY_PATIENCE, all(pieces, limit)).await {
                Ok(bytes) => bytes.map(RawBody::Bytes).map_err(refused),
                Err(_) => Err(refused(too_slow())),
            };
        }
        let (server, asker, declared) = (Arc::clone(self), Arc::clone(head), *route);
        let admitted = self
            .lanes
            .run(Weight::Blocking, move || auth::admit(&server, &declared, &asker.headers).map(drop))
            .await;
        if let Ok(Err(fault)) = admitted {
            return Err(refused(if route.access.is_account() { fault.with_challenge() } else { fault }));
        }
        let form = multipart::parts(text(header::CONTENT_TYPE), pieces, limit);
        match tokio::time::timeout(10 * BODY_PATIENCE, form).await {
            Ok(parts) => parts.map(RawBody::Parts).map_err(refused),
            Err(_) => Err(refused(too_slow())),
        }
    }

    /// Everything that may wait: parsing, admission, checks, the handler.
    fn run(&self, route: &Route, path: Vec<(&'static str, String)>, head: &Head, body: RawBody) -> Reply {
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let handled = input::parse(body, content_type).and_then(|body| {
            let (actor, session) = auth::admit(self, route, &head.headers)?;
            let inputs = input::check(route, path, &head.query, body)?;
            let mut call = Call {
                server: self,
                actor,
                session,
                headers: &head.headers,
                peer: self.options.proxies.client(head.peer, &head.headers),
                by_proxy: self.options.proxies.trust(head.peer),
                path: inputs.path,
                query: inputs.query,
                body: inputs.body,
                parts: inputs.parts,
            };
            (route.run)(&mut call)
        });
        let reply = handled.unwrap_or_else(|fault| {
            let fault = if route.access.is_account() { fault.with_challenge() } else { fault };
            fault.or_else_told(route.fault).into_reply()
        });
        let reply = if route.refreshes && reply.status.as_u16() < 400 {
            auth::prolong(self, &head.headers, reply)
        } else {
            reply
        };
        compress(reply, &head.headers, self.options.compression_level)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("options", &self.options).finish_non_exhaustive()
    }
}

fn too_large(limit: usize) -> Fault {
    Fault::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The body is too large: {} MiB at most", limit >> 20),
    )
}

fn too_slow() -> Fault {
    Fault::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time")
}

async fn all(pieces: impl Stream<Item = std::result::Result<Bytes, warp::Error>>, limit: usize) -> Result<Bytes> {
    let mut pieces = std::pin::pin!(pieces);
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let piece = tokio::time::timeout(BODY_PATIENCE, pieces.try_next())
            .await
            .map_err(|_| too_slow())?;
        let Some(piece) = piece.map_err(|_| Fault::bad_request("The body could not be read"))? else {
            break;
        };
        if first.is_none() && rest.is_empty() {
            first = Some(piece);
        } else {
            rest.extend_from_slice(&first.take().unwrap_or_default());
            rest.extend_from_slice(&piece);
        }
        if first.as_ref().map_or(rest.len(), Bytes::len) > limit {
            return Err(too_large(limit));
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// Makes HTTP of an answer.
fn into_response(reply: Reply) -> Response {
    let mut response = match reply.content {
        Content::Bytes(bytes) => Response::new(bytes.into()),
        Content::File(file, length) => {
            let pieces = futures_util::stream::try_unfold((file, length), |(mut file, left)| async move {
                if left == 0 {
                    return Ok::<_, std::io::Error>(None);
                }
                let read = blocking::beside(move || {
                    let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                    std::io::Read::read_exact(&mut file.0, &mut piece)?;
                    Ok::<_, std::io::Error>((file, piece))
                });
                let (file, piece) = read
                    .await
                    .map_err(|_| std::io::Error::other("reading a piece of a file panicked"))??;
                let left = left - piece.len() as u64;
                Ok(Some((Bytes::from(piece), (file, left))))
            });
            warp::Reply::into_response(warp::reply::stream(pieces))
        }
    };
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
