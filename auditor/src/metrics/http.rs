//! `/metrics`, `/healthz`, `/readyz`: small answers to anybody who can reach the port, none of whom is trusted.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Listener, Metrics, Readiness,
    connections::{Answered, Connections},
};

/// For the request to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection as a whole: it carries one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed, as without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers until `stop` is cancelled. Needs a tokio runtime, of any kind.
///
/// # Errors
/// When the runtime does not take the socket.
pub async fn serve(
    listener: Listener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener.socket)?;
    let mut connections = Connections::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            // An IPv4 address in a dual stack socket is one.
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                tracing::debug!(%error, "metrics: accept failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !connections.admit(peer) {
            tracing::trace!(%peer, "metrics: too many connections");
            continue;
        }
        let answered = Answered::default();
        let conversation = converse(stream, metrics.clone(), readiness.clone(), answered.clone());
        connections.add(peer, answered, tokio::spawn(conversation));
    }
    Ok(())
}

async fn converse(
    stream: TcpStream,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    answered: Answered,
) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        answered.begin();
        let response = answer(request.method(), request.uri().path(), &metrics, &readiness);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong here is the other side's affair.
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, connection).await {
        tracing::trace!(%error, "metrics: connection ended");
    }
}

fn answer(
    method: &Method,
    path: &str,
    metrics: &Metrics,
    readiness: &Readiness,
) -> Response<Whole> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => {
            metrics.set_ready(readiness.reason().is_none());
            match metrics.encode() {
                Ok(text) => respond(StatusCode::OK, OPEN_METRICS, text),
                Err(error) => respond(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    PLAIN,
                    format!("{error}\n"),
                ),
            }
        }
        "/healthz" => respond(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match readiness.reason() {
            None => respond(StatusCode::OK, PLAIN, "ready\n"),
            Some(reason) => respond(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                format!("not ready: {reason}\n"),
            ),
        },
        _ => respond(
            StatusCode::NOT_FOUND,
            PLAIN,
            "there are /metrics, /healthz and /readyz\n",
        ),
    }
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Whole> {
    let mut response = Response::new(Whole(Some(text.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body that is there already.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
