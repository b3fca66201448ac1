//! Gets credentials as an AWS SDK does it, told by the same environment: web identity first, then the container
//! credentials endpoint, with a non-blocking connect (all SDKs get EINPROGRESS there).
//!
//! For web identity it stops after reading the token: the call to STS leaves the node.

use std::{
    env,
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
};

use anyhow::{Context, Result, bail};
use lab::http::{Connection, exchange, get};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt::socket_error},
};

fn main() -> Result<()> {
    if let Ok(file) = env::var("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let token = std::fs::read_to_string(&file).context(file)?;
        println!("web identity: token of {} bytes", token.len());
        return Ok(());
    }
    let uri =
        env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI").context("no credentials are configured")?;
    let file = env::var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        .context("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?;
    let (host, path) = uri
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .with_context(|| format!("not a URI that this program knows: {uri}"))?;
    let address: SocketAddr = format!("{host}:80").parse()?;

    let token = std::fs::read_to_string(&file).context(file)?;
    let stream = connect_without_blocking(address)?;
    let mut request = get(&format!("/{path}"), host);
    request.headers.insert("authorization".into(), token);
    let (status, body) = exchange(&mut Connection::new(stream), &request)?;
    if status != 200 {
        bail!(
            "the agent answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    println!("{address}: {status}, credentials of {} bytes", body.len());
    Ok(())
}

fn connect_without_blocking(address: SocketAddr) -> Result<TcpStream> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Err(Errno::INPROGRESS) => {
            let timeout = Timespec {
                tv_sec: 30,
                tv_nsec: 0,
            };
            let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
            if poll(&mut fds, Some(&timeout))? == 0 {
                bail!("connect to {address}: {}", ErrorKind::TimedOut);
            }
            socket_error(socket.as_fd())?.with_context(|| format!("connect to {address}"))?;
        }
        done => done.with_context(|| format!("connect to {address}"))?,
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}
