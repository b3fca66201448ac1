//! Connects to `ADDR:PORT`, asks for `/v1/credentials` and prints status and size.
//!
//! `dial [--may-fail] [--within-ms MS] [--deaf-ms MS] ADDR:PORT [TOKEN-FILE]`: with the file's content as the `Authorization`
//! header; gives up the connect after so long; is content when it cannot connect; and hears no answer to its SYN for so long.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use lab::{
    http::{Connection, exchange, get},
    sys::deaf::{deafen, undeafen},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let may_fail = args.next_if(|arg| arg == "--may-fail").is_some();
    let within = match args.next_if(|arg| arg == "--within-ms") {
        Some(_) => args.next().map(|ms| ms.parse()).transpose()?,
        None => None,
    };
    let deaf = match args.next_if(|arg| arg == "--deaf-ms") {
        Some(_) => args.next().map(|ms| ms.parse()).transpose()?,
        None => None,
    };
    let address: SocketAddr = args
        .next()
        .context("usage: dial [--may-fail] [--within-ms MS] [--deaf-ms MS] ADDR:PORT [TOKEN-FILE]")?
        .parse()?;
    let mut request = get("/v1/credentials", &address.to_string());
    if let Some(file) = args.next() {
        let token = std::fs::read_to_string(&file).context(file)?;
        request.headers.insert("authorization".into(), token);
    }
    let connected = match (within, deaf.map(Duration::from_millis)) {
        (_, Some(deaf)) => connect_deaf(address, deaf),
        (None, None) => TcpStream::connect(address),
        (Some(within), None) => TcpStream::connect_timeout(&address, Duration::from_millis(within)),
    };
    let stream = match connected {
        Err(error) if may_fail => {
            println!("{address}: {error}");
            return Ok(());
        }
        connected => connected.with_context(|| format!("connect to {address}"))?,
    };
    let (status, body) = exchange(&mut Connection::new(stream), &request)?;
    println!("{address}: {status}, {} bytes", body.len());
    Ok(())
}

/// A connect whose handshake ends with the first SYN-ACK that is repeated after `deaf`.
fn connect_deaf(address: SocketAddr, deaf: Duration) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    deafen(&socket, address)?;
    let hearing = socket.try_clone()?;
    let later = thread::spawn(move || {
        thread::sleep(deaf);
        undeafen(&hearing, address)
    });
    connect(&socket, &address)?;
    later
        .join()
        .map_err(|_| io::Error::other("the thread panicked"))??;
    Ok(socket.into())
}
