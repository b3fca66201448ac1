//! The connections of a server.

use std::{collections::HashMap, future::pending, io, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{Id, JoinSet},
};

use super::{Ending, Exchange, Handler, Log};

/// A connection's own descriptor, to say how it is to end.
#[derive(Debug)]
pub struct Socket(std::net::TcpStream);

impl Socket {
    /// When it is closed the peer gets an RST, and what was not sent yet is dropped.
    ///
    /// # Errors
    /// None that Linux documents.
    pub fn reset_at_close(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(
            &self.0,
            Some(Duration::ZERO),
        )?)
    }
}

#[derive(Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    sockets: HashMap<Id, Arc<Socket>>,
}

/// The next connection; never where there is no listener.
pub(super) async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return pending().await;
    };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        // Out of descriptors, say: others may end meanwhile.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Connections {
    pub(super) fn add(&mut self, stream: TcpStream, handler: Arc<impl Handler>, log: Arc<Log>) {
        let Ok((stream, socket)) = with_socket(stream) else {
            return;
        };
        let socket = Arc::new(socket);
        let exchange = socket.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let entry = log.open(request.method(), request.uri());
            let exchange = Exchange {
                socket: exchange.clone(),
                entry: entry.clone(),
            };
            let handler = handler.clone();
            async move {
                let answer = handler.handle(request, exchange).await;
                entry.answered(answer.as_ref().ok().map(hyper::Response::status));
                answer
            }
        });
        let task = self.tasks.spawn(async move {
            let mut server = http1::Builder::new();
            server.half_close(false);
            // Its errors are the client's going away, and those that we make ourselves.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        self.sockets.insert(task.id(), socket);
    }

    /// Forgets a connection that has ended.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => drop(self.sockets.remove(&id)),
            Some(Err(error)) => drop(self.sockets.remove(&error.id())),
            None => pending().await,
        }
    }

    pub(super) async fn end(&mut self, ending: Ending) {
        if ending == Ending::Reset {
            for socket in self.sockets.values() {
                // Else it ends by FIN.
                let _ = socket.reset_at_close();
            }
        }
        self.tasks.shutdown().await;
        self.sockets.clear();
    }
}

fn with_socket(stream: TcpStream) -> io::Result<(TcpStream, Socket)> {
    // Else a watch's short lines wait for the peer's acknowledgement.
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = Socket(stream.try_clone()?);
    Ok((TcpStream::from_std(stream)?, socket))
}
