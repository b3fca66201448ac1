//! Connects to `ADDR:PORT`, asks for `/v1/credentials` and prints status and size.
//!
//! `dial ADDR:PORT [TOKEN-FILE]`: with the file's content as the `Authorization` header.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use lab::http::{Connection, exchange, get};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args
        .next()
        .context("usage: dial ADDR:PORT [TOKEN-FILE]")?
        .parse()?;
    let mut request = get("/v1/credentials", &address.to_string());
    if let Some(file) = args.next() {
        let token = std::fs::read_to_string(&file).context(file)?;
        request.headers.insert("authorization".into(), token);
    }
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    let (status, body) = exchange(&mut Connection::new(stream), &request)?;
    println!("{address}: {status}, {} bytes", body.len());
    Ok(())
}
