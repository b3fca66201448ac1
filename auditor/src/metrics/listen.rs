//! The listening socket.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt},
};

/// Connections that wait to be accepted: a burst of one peer's must not fill it for the others.
const BACKLOG: i32 = 1024;

#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {addr}")]
pub struct BindError {
    pub addr: SocketAddr,
    pub source: io::Error,
}

impl BindError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let port = self.addr.port();
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "find who listens there with `ss -ltnp 'sport = :{port}'`, or choose another --metrics-listen"
                )
            }
            io::ErrorKind::AddrNotAvailable => {
                "choose a --metrics-listen with an address of this machine".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                format!("choose a --metrics-listen with a port above {port}: 1024 or more")
            }
            _ => "choose another --metrics-listen".to_owned(),
        }
    }
}

/// Bound and listening; [`super::serve`] takes it from here.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Listens on `addr`: dual stack where it is `[::]`, and on 0.0.0.0 instead where there is no IPv6 and
    /// `fallback_to_v4` allows it.
    ///
    /// # Errors
    /// When the address is in use, not ours, or not permitted.
    pub fn bind(addr: SocketAddr, fallback_to_v4: bool) -> Result<Self, BindError> {
        match open(addr) {
            Err(error) if fallback_to_v4 && no_ipv6(error) => {
                let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), addr.port());
                Self::listening(addr, open(addr))
            }
            result => Self::listening(addr, result),
        }
    }

    /// With the port that was given, where 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn listening(addr: SocketAddr, socket: Result<TcpListener, Errno>) -> Result<Self, BindError> {
        let fail = |source| BindError { addr, source };
        let socket = socket.map_err(|errno| fail(errno.into()))?;
        let addr = socket.local_addr().map_err(fail)?;
        Ok(Self { socket, addr })
    }
}

fn open(addr: SocketAddr) -> Result<TcpListener, Errno> {
    let family = if addr.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // A restart finds the connections of the run before in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &addr)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Not compiled in or booted with `ipv6.disable=1`; or switched off by sysctl.
fn no_ipv6(error: Errno) -> bool {
    matches!(error, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn unspecified_ipv6_takes_ipv4_too() {
        let listener = match Listener::bind("[::]:0".parse().unwrap(), true) {
            Ok(listener) => listener,
            Err(error) => panic!("{error}: {}", error.source),
        };
        assert_ne!(listener.addr().port(), 0);
        TcpStream::connect(("127.0.0.1", listener.addr().port())).unwrap();
    }

    #[test]
    fn an_address_in_use_is_named_and_no_reason_to_fall_back() {
        let first = Listener::bind("[::]:0".parse().unwrap(), true).unwrap();
        let error = Listener::bind(first.addr(), true).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error.to_string().contains(&first.addr().to_string()),
            "{error}"
        );
        assert!(
            error.help().contains(&format!(":{}", first.addr().port())),
            "{}",
            error.help()
        );
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        // TEST-NET-1, RFC 5737.
        let error = Listener::bind("192.0.2.1:0".parse().unwrap(), false).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn only_a_kernel_without_ipv6_makes_us_fall_back() {
        assert!(no_ipv6(Errno::AFNOSUPPORT) && no_ipv6(Errno::ADDRNOTAVAIL));
        assert!(!no_ipv6(Errno::ADDRINUSE) && !no_ipv6(Errno::ACCESS));
    }
}
