//! An HTTP/1.1 server in this process, on a thread of its own, that can go away and come back on the same port.

mod body;
mod connections;
mod log;

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use hyper::{Request, Response, body::Incoming};
use tokio::sync::mpsc as queue;

pub use body::{Body, Cut, Sender, read};
pub use connections::Socket;
pub use log::{Entry, Log, Seen};

use connections::Connections;

/// How connections are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN: the stream ends, in mid-answer where there is one.
    Close,
    /// RST, as a load balancer or a killed kernel does.
    Reset,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// An error ends the connection without an answer.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        exchange: Exchange,
    ) -> impl Future<Output = Result<Response<Body>, Cut>> + Send;
}

/// What a handler knows besides the request.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub socket: Arc<Socket>,
    /// The request's record.
    pub entry: Arc<Entry>,
}

enum Command {
    Away(Ending),
    Back,
    End(Ending),
    Stop,
}

/// A running server; ended when dropped.
pub struct Server {
    address: SocketAddr,
    commands: queue::UnboundedSender<(Command, mpsc::Sender<Result<()>>)>,
    thread: Option<JoinHandle<()>>,
    log: Arc<Log>,
}

impl Server {
    /// Listens on a port of 127.0.0.1 that is free.
    ///
    /// # Errors
    /// Where there is none, or no thread.
    pub fn start(name: &str, handler: Arc<impl Handler>) -> Result<Self> {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, orders) = queue::unbounded_channel();
        let log = Arc::new(Log::default());
        let seen = log.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(serve(listener, address, handler, seen, orders)))?;
        Ok(Self {
            address,
            commands,
            thread: Some(thread),
            log,
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Ends all connections and listens no longer: new ones are refused.
    ///
    /// # Errors
    /// Where the server has ended.
    pub fn go_away(&self, ending: Ending) -> Result<()> {
        self.order(Command::Away(ending))
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// Where another process has taken the port.
    pub fn come_back(&self) -> Result<()> {
        self.order(Command::Back)
    }

    /// Ends all connections, and goes on.
    ///
    /// # Errors
    /// Where the server has ended.
    pub fn end_connections(&self, ending: Ending) -> Result<()> {
        self.order(Command::End(ending))
    }

    fn order(&self, command: Command) -> Result<()> {
        let (done, wait) = mpsc::channel();
        self.commands
            .send((command, done))
            .ok()
            .context("the server has ended")?;
        wait.recv().context("the server has ended")?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.order(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    handler: Arc<impl Handler>,
    log: Arc<Log>,
    mut orders: queue::UnboundedReceiver<(Command, mpsc::Sender<Result<()>>)>,
) {
    let mut connections = Connections::default();
    let mut listener = tokio::net::TcpListener::from_std(listener).ok();
    loop {
        tokio::select! {
            stream = connections::accept(listener.as_ref()) => connections.add(stream, handler.clone(), log.clone()),
            () = connections.reap() => {}
            order = orders.recv() => {
                let Some((command, done)) = order else { return };
                let stop = matches!(command, Command::Stop);
                let outcome = match command {
                    Command::Away(ending) => {
                        listener = None;
                        connections.end(ending).await;
                        Ok(())
                    }
                    Command::Back => listen(address).and_then(|l| Ok(tokio::net::TcpListener::from_std(l)?)).map(|l| {
                        listener = Some(l);
                    }),
                    Command::End(ending) => {
                        connections.end(ending).await;
                        Ok(())
                    }
                    Command::Stop => {
                        listener = None;
                        connections.end(Ending::Close).await;
                        Ok(())
                    }
                };
                // Fails only where nobody waits for it.
                let _ = done.send(outcome);
                if stop {
                    return;
                }
            }
        }
    }
}

/// With SO_REUSEADDR, which the standard library sets.
fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
