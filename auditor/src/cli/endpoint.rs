//! `--endpoint`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::UsageError;

/// A credential endpoint that the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub addr: SocketAddr,
}

/// A credential endpoint of every EKS node, always watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    pub name: &'static str,
    pub addr: SocketAddr,
}

/// The EKS Pod Identity Agent and the instance metadata service, as the EKS and EC2 user guides give them.
pub const BUILT_IN: [BuiltIn; 4] = [
    BuiltIn {
        name: "pod-identity-agent",
        addr: v4(169, 254, 170, 23),
    },
    BuiltIn {
        name: "pod-identity-agent",
        addr: v6(0x23),
    },
    BuiltIn {
        name: "imds",
        addr: v4(169, 254, 169, 254),
    },
    BuiltIn {
        name: "imds",
        addr: v6(0x254),
    },
];

const HTTP: u16 = 80;

const fn v4(a: u8, b: u8, c: u8, d: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), HTTP)
}

const fn v6(last: u16) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, last)),
        HTTP,
    )
}

const FLAG: &str = "--endpoint";
const EXAMPLE: &str = "--endpoint vault=10.0.0.7:8200 or --endpoint 'vault=[fd00::7]:8200'";
const MAX_NAME: usize = 32;

/// The same name may stand for several addresses; an address has one name.
///
/// # Errors
/// On the first value that is malformed, or names what is watched already.
pub fn parse_all(values: &[String]) -> Result<Vec<Endpoint>, UsageError> {
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(values.len());
    for value in values {
        let endpoint = parse(value)?;
        if let Some(built_in) = BUILT_IN.iter().find(|b| b.addr == endpoint.addr) {
            return Err(refuse(
                value,
                format!(
                    "an address that is not watched already: this one is, as `{}`",
                    built_in.name
                ),
            ));
        }
        if let Some(other) = endpoints.iter().find(|other| other.addr == endpoint.addr) {
            return Err(refuse(
                value,
                format!("each address once: `{}` has it already", other.name),
            ));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn parse(value: &str) -> Result<Endpoint, UsageError> {
    let Some((name, addr)) = value.split_once('=') else {
        return Err(refuse(value, "NAME=ADDR:PORT"));
    };
    if !is_name(name) {
        return Err(refuse(
            value,
            format!("a NAME of 1 to {MAX_NAME} of a-z, 0-9 and `-`"),
        ));
    }
    if BUILT_IN.iter().any(|b| b.name == name) {
        return Err(refuse(
            value,
            format!("a NAME other than the built-in `{name}`"),
        ));
    }
    let Ok(addr) = addr.parse::<SocketAddr>() else {
        return Err(refuse(
            value,
            "an IP address and a port, IPv6 in brackets; host names are not looked up",
        ));
    };
    // What a dual-stack socket calls ::ffff:a.b.c.d goes out as IPv4, and that is what the kernel half sees.
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    if addr.port() == 0
        || addr.ip().is_unspecified()
        || addr.ip().is_multicast()
        || value.contains('%')
    {
        return Err(refuse(
            value,
            "one unicast address without a scope, and a port of 1 to 65535",
        ));
    }
    Ok(Endpoint {
        name: name.to_owned(),
        addr,
    })
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn refuse(value: &str, allowed: impl Into<String>) -> UsageError {
    UsageError::value(FLAG, value, allowed, EXAMPLE)
}
