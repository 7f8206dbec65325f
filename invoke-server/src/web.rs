//! The server as a warp filter, and serving it.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response as HttpResponse, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::TcpListener;
use tower::{Layer, Service};
use warp::{Filter, path::FullPath, reply::Response};

use crate::{
    realtime::{self, Realtime},
    server::{Head, Server},
};

/// How long a client may take to send a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to agree on a cipher.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long answers under way may take once the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What is sent back, whichever side answers.
type AnyBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The address of the client's end of a connection, which [`serve`] puts into each request's extensions; a program that serves [`router`] itself does so too.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The whole HTTP interface as one filter. It matches everything: a path without a route has an answer as well.
pub fn router(server: Arc<Server>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(move |method, path: FullPath, query, headers: HeaderMap, peer: Option<Peer>, body| {
            let server = Arc::clone(&server);
            let head = Head {
                method,
                path: path.as_str().to_owned(),
                query,
                headers,
                peer: peer.map(|peer| peer.0.ip()),
            };
            server.dispatch(head, body)
        })
        // A request whose body something else has taken is the only one that gets here.
        .recover(|_| async { Ok::<_, Infallible>(warp::Reply::into_response(StatusCode::INTERNAL_SERVER_ERROR)) })
        .unify()
}

/// Serves until `shutdown` completes, then lets answers under way finish for a few seconds.
///
/// # Errors
/// If the listener can accept no more connections at all.
pub async fn serve(server: Arc<Server>, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let realtime = Realtime::new(&server);
    let sweeping = tokio::spawn(Realtime::sweep(Arc::clone(&server), realtime.hub()));
    let service = realtime.layer.layer(warp::service(router(Arc::clone(&server))));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .keep_alive(true);
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client was gone at once: neither ends the server.
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection stays slow: {error}");
        }
        let (service, base) = (service.clone(), Arc::clone(&server));
        let front = hyper::service::service_fn(move |request| front(service.clone(), request, peer, base.options.base_path.clone()));
        let (http, watcher, tls) = (http.clone(), connections.watcher(), server.options.tls.clone());
        tokio::spawn(async move {
            let ended = match tls {
                None => {
                    let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), front);
                    watcher.watch(connection.into_owned()).await
                }
                Some(tls) => match tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), front);
                        watcher.watch(connection.into_owned()).await
                    }
                    Ok(Err(error)) => Err(error.into()),
                    Err(late) => Err(late.into()),
                },
            };
            if let Err(error) = ended {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    sweeping.abort();
    if tokio::time::timeout(STOP_PATIENCE, async { tokio::join!(realtime.close(), connections.shutdown()) })
        .await
        .is_err()
    {
        tracing::debug!("some connections were cut");
    }
    Ok(())
}

/// What every request goes through before it is told whether it is Socket.IO's or the routes'.
async fn front<S, B>(
    mut service: S,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    base: String,
) -> Result<HttpResponse<AnyBody>, Infallible>
where
    S: Service<Request<Incoming>, Response = HttpResponse<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    request.extensions_mut().insert(Peer(peer));
    if let Some(inner) = without_base(request.uri(), &base) {
        *request.uri_mut() = inner;
    }
    // Socket.IO asks for a token, never for a cookie, so pages of any origin may connect, as they may with the original.
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .filter(|_| request.uri().path().starts_with(realtime::PATH))
        .cloned();
    if let Some(origin) = origin.as_ref().filter(|_| request.method() == http::Method::OPTIONS) {
        let mut response = HttpResponse::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("OPTIONS, GET, POST"));
        headers.extend(asked.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
        open_to(headers, origin);
        return Ok(response);
    }
    let mut response = service.call(request).await?.map(|body| body.map_err(Into::into).boxed_unsync());
    if let Some(origin) = &origin {
        open_to(response.headers_mut(), origin);
    }
    Ok(response)
}

fn open_to(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The address without the prefix of a proxy that keeps it; `None` if it has none.
fn without_base(uri: &Uri, base: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(base).filter(|_| !base.is_empty())?;
    match rest.as_bytes().first() {
        Some(b'/') => rest.parse().ok(),
        None | Some(b'?') => format!("/{rest}").parse().ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_prefix_is_taken_off() {
        let inner = |uri: &'static str, base: &str| without_base(&Uri::from_static(uri), base).map(|uri| uri.to_string());
        assert_eq!(
            inner("/invoke/api/v1/app/version?x=1", "/invoke").as_deref(),
            Some("/api/v1/app/version?x=1")
        );
        assert_eq!(inner("/invoke", "/invoke").as_deref(), Some("/"));
        assert_eq!(inner("/invoke?x=1", "/invoke").as_deref(), Some("/?x=1"));
        assert_eq!(inner("/invoked/api", "/invoke"), None);
        assert_eq!(inner("/api", "/invoke"), None);
        assert_eq!(inner("/api", ""), None);
    }
}
