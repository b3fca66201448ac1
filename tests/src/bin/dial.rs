//! Connects to `ADDR:PORT`, asks for `/v1/credentials` and prints status and size.
//!
//! `dial [--may-fail] [--within-ms MS] ADDR:PORT [TOKEN-FILE]`: with the file's content as the `Authorization` header; gives
//! up the connect after so long; and is content when it cannot connect.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};
use lab::http::{Connection, exchange, get};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let may_fail = args.next_if(|arg| arg == "--may-fail").is_some();
    let within = match args.next_if(|arg| arg == "--within-ms") {
        Some(_) => args.next().map(|ms| ms.parse()).transpose()?,
        None => None,
    };
    let address: SocketAddr = args
        .next()
        .context("usage: dial [--may-fail] [--within-ms MS] ADDR:PORT [TOKEN-FILE]")?
        .parse()?;
    let mut request = get("/v1/credentials", &address.to_string());
    if let Some(file) = args.next() {
        let token = std::fs::read_to_string(&file).context(file)?;
        request.headers.insert("authorization".into(), token);
    }
    let connected = match within.map(Duration::from_millis) {
        None => TcpStream::connect(address),
        Some(within) => TcpStream::connect_timeout(&address, within),
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
