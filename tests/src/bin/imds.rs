//! The instance metadata service on 169.254.169.254:80 and [fd00:ec2::254]:80 of its network namespace.
//!
//! Requests on stdin: `"ready"`.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use jiff::Timestamp;
use lab::{
    http,
    service::imds::{V4, V6, respond},
    wire::serve,
};

fn main() -> Result<()> {
    for address in [V4, V6] {
        let address = SocketAddr::new(address.parse()?, 80);
        let listener = TcpListener::bind(address).with_context(|| format!("bind {address}"))?;
        http::serve(listener, |request| respond(request, Timestamp::now()));
    }
    serve(|_: String| Ok(()))
}
