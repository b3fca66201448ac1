//! A loopback listener of our own, and connects to it and to where no TCP goes.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
};

use auditor_common::{AcceptRecord, CANARY_ENDPOINT, ListenRecord, OutcomeRecord};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{CanaryError, PATIENCE, wait};
use crate::probe::{
    loader::Maps,
    reader::{Found, Rings},
    record::{Record, decode},
};

/// What a connect of our own is to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectProof {
    Connect,
    Outcome,
    /// That the listener's side is seen, and matched to the connect.
    Accept,
}

/// Connects to a listener of our own.
pub(super) fn connect(
    maps: &mut Maps,
    rings: &mut Rings,
    proof: ConnectProof,
) -> Result<(), CanaryError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address: SocketAddr = listener.local_addr()?;
    with_endpoint(maps, address, || {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        let fired = wait(rings, |bytes| {
            let (proves, endpoint) = match decode(bytes) {
                Ok(Record::Connect(record)) => (ConnectProof::Connect, record.endpoint),
                Ok(Record::Outcome(record)) => (ConnectProof::Outcome, record.endpoint),
                // One that no connect was seen of proves only half.
                Ok(Record::Accept(record)) if record.matched == 1 => {
                    (ConnectProof::Accept, record.endpoint)
                }
                Ok(
                    Record::Accept(AcceptRecord { endpoint, .. })
                    | Record::Closed(OutcomeRecord { endpoint, .. })
                    | Record::Listen(ListenRecord { endpoint, .. }),
                ) => return is_mine(*endpoint),
                _ => return Found::No,
            };
            match is_mine(endpoint) {
                Found::Mine if proves == proof => Found::Yes,
                found => found,
            }
        });
        drop(stream);
        Ok(fired)
    })
}

/// Connects where no TCP goes: to multicast addresses, which neither IPv4 nor IPv6 lets it try (net/ipv4/tcp_ipv4.c
/// `tcp_v4_connect`, net/ipv6/tcp_ipv6.c `tcp_v6_connect`).
pub(super) fn attempt(maps: &mut Maps, rings: &mut Rings) -> Result<(), CanaryError> {
    attempt_to(maps, rings, (Ipv4Addr::new(224, 0, 0, 1), 9).into())?;
    match attempt_to(
        maps,
        rings,
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 9).into(),
    ) {
        // ipv6.disable=1: nobody can connect there.
        Err(CanaryError::Io(error)) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(()),
        played => played,
    }
}

fn attempt_to(maps: &mut Maps, rings: &mut Rings, address: SocketAddr) -> Result<(), CanaryError> {
    with_endpoint(maps, address, || {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => {
                return Err(io::Error::other("connected to a multicast address").into());
            }
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                return Err(error.into());
            }
            Err(_) => {}
        }
        Ok(wait(rings, |bytes| match decode(bytes) {
            Ok(Record::Connect(record)) => is_mine(record.endpoint),
            Ok(Record::Outcome(record)) if record.endpoint == CANARY_ENDPOINT => Found::Yes,
            _ => Found::No,
        }))
    })
}

/// Listens, once the address is registered.
pub(super) fn listen(maps: &mut Maps, rings: &mut Rings) -> Result<(), CanaryError> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(io::Error::from)?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    rustix::net::bind(&socket, &any_port).map_err(io::Error::from)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    with_endpoint(maps, address, || {
        rustix::net::listen(&listener, 1).map_err(io::Error::from)?;
        Ok(wait(rings, |bytes| match decode(bytes) {
            Ok(Record::Listen(record)) if record.endpoint == CANARY_ENDPOINT => Found::Yes,
            _ => Found::No,
        }))
    })
}

fn is_mine(endpoint: u32) -> Found {
    if endpoint == CANARY_ENDPOINT {
        Found::Mine
    } else {
        Found::No
    }
}

/// Plays while `address` is registered as the canary's; whether it fired.
fn with_endpoint(
    maps: &mut Maps,
    address: SocketAddr,
    play: impl FnOnce() -> Result<bool, CanaryError>,
) -> Result<(), CanaryError> {
    maps.set_endpoint(address, CANARY_ENDPOINT)
        .map_err(CanaryError::Map)?;
    let played = play();
    maps.remove_endpoint(address);
    if played? {
        Ok(())
    } else {
        Err(CanaryError::Silent)
    }
}
