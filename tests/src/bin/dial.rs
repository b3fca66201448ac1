//! Connects to `ADDR:PORT`, asks for `/v1/credentials` and prints status and size.
//!
//! `dial [--may-fail] [--within-ms MS] [--deaf-ms MS] ADDR:PORT [TOKEN-FILE]`: with the file's content as the `Authorization`
//! header; gives up the connect after so long; is content when it cannot connect; and hears no answer to its SYN for so long.
//! `dial --without-route TIMES ADDR:PORT`: connects so often from a network namespace of its own, in which there is none.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use lab::{
    http::{Connection, exchange, get},
    sys::deaf::{deafen, undeafen},
};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with},
    thread::{UnshareFlags, unshare_unsafe},
};

const USAGE: &str = "usage: dial [--may-fail] [--within-ms MS] [--deaf-ms MS] ADDR:PORT [TOKEN-FILE] | \
                     dial --without-route TIMES ADDR:PORT";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|arg| arg == "--without-route").is_some() {
        let (Some(times), Some(address)) = (args.next(), args.next()) else {
            bail!(USAGE);
        };
        return without_route(times.parse()?, address.parse()?);
    }
    let may_fail = args.next_if(|arg| arg == "--may-fail").is_some();
    let within = match args.next_if(|arg| arg == "--within-ms") {
        Some(_) => args.next().map(|ms| ms.parse()).transpose()?,
        None => None,
    };
    let deaf = match args.next_if(|arg| arg == "--deaf-ms") {
        Some(_) => args.next().map(|ms| ms.parse()).transpose()?,
        None => None,
    };
    let address: SocketAddr = args.next().context(USAGE)?.parse()?;
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

fn without_route(times: u32, address: SocketAddr) -> Result<()> {
    // SAFETY: no descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }
        .context("make a user and a network namespace")?;
    for _ in 0..times {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {}
            other => bail!("connected to {address} without a route: {other:?}"),
        }
    }
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
