//! Listens on `ADDR:PORT` for a moment, and accepts nobody.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: listen ADDR:PORT")?;
    let address: SocketAddr = address.parse().context(address)?;
    let listener = TcpListener::bind(address).with_context(|| format!("bind {address}"))?;
    println!("{}", listener.local_addr()?);
    Ok(())
}
