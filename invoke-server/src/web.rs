//! The server as a warp filter, and serving it.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::HeaderMap;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use warp::{Filter, path::FullPath, reply::Response};

use crate::server::{Head, Server};

/// How long a client may take to send a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long answers under way may take once the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The address of the client's end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

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
            let head = Head { method, path: path.as_str().to_owned(), query, headers, peer: peer.map(|peer| peer.0.ip()) };
            server.dispatch(head, body)
        })
        // A request whose body something else has taken is the only one that gets here.
        .recover(|_| async { Ok::<_, Infallible>(warp::Reply::into_response(http::StatusCode::INTERNAL_SERVER_ERROR)) })
        .unify()
}

/// Serves until `shutdown` completes, then lets answers under way finish for a few seconds.
///
/// # Errors
/// If the listener can accept no more connections at all.
pub async fn serve(server: Arc<Server>, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let service = warp::service(router(server));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).keep_alive(true);
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
        let service = tower::ServiceBuilder::new()
            .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                request
            })
            .service(service.clone());
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_PATIENCE, connections.shutdown()).await.is_err() {
        tracing::debug!("some connections were cut");
    }
    Ok(())
}
