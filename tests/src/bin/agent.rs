//! The EKS Pod Identity Agent's listeners on 169.254.170.23:80 and [fd00:ec2::23]:80 of its network namespace, or on those
//! that are given, as an impostor has them: `agent [ADDR:PORT…]`.
//!
//! Requests on stdin: `"ready"`, and `"probe"`, for which it connects to its own addresses as its health check does.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use lab::{
    http,
    service::agent::{V4, V6, respond},
    wire::serve,
};

fn main() -> Result<()> {
    let mut addresses = std::env::args()
        .skip(1)
        .map(|address| address.parse().context(address))
        .collect::<Result<Vec<SocketAddr>>>()?;
    if addresses.is_empty() {
        addresses = vec![
            SocketAddr::new(V4.parse()?, 80),
            SocketAddr::new(V6.parse()?, 80),
        ];
    }
    for &address in &addresses {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("unable to start server: {address}"))?;
        http::serve(listener, |request| respond(request, Timestamp::now()));
    }
    serve(|request: String| match request.as_str() {
        "ready" => Ok(0),
        "probe" => addresses.iter().map(probe).sum(),
        other => bail!("unknown request {other}"),
    })
}

/// The agent is healthy when its own root path is not found.
fn probe(address: &SocketAddr) -> Result<u32> {
    let stream = TcpStream::connect(address).with_context(|| format!("probe {address}"))?;
    match http::exchange(
        &mut http::Connection::new(stream),
        &http::get("/", &address.to_string()),
    )? {
        (404, _) => Ok(1),
        (status, _) => bail!("probe of {address} got {status}"),
    }
}
