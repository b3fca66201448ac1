//! The kernel half's words about a connection, in the contract's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use auditor_common::{Address, OutcomeRecord};

use crate::event::Outcome;

/// include/net/tcp_states.h
const TCP_ESTABLISHED: u32 = 1;

/// `sk_err` at the end of the handshake (net/ipv4/tcp_input.c `tcp_reset`, tcp_timer.c `tcp_write_err`, tcp_ipv4.c `tcp_v4_err`).
pub fn describe_outcome(record: &OutcomeRecord) -> (Outcome, Option<i32>) {
    if record.new_state == TCP_ESTABLISHED {
        return (Outcome::Established, None);
    }
    let errno = record.errno.cast_signed();
    let outcome = match errno {
        0 => return (Outcome::Aborted, None),
        libc::ECONNREFUSED => Outcome::Refused,
        libc::ETIMEDOUT => Outcome::Timeout,
        // No route, or what ICMP says: host, network or protocol unreachable, prohibited.
        _ => Outcome::Unreachable,
    };
    (outcome, Some(errno))
}

/// `ADDR:PORT`, IPv6 in brackets, IPv4 as such.
pub fn socket(address: Address, port: u32) -> String {
    SocketAddr::new(ip(address), u16::try_from(port).unwrap_or(0)).to_string()
}

/// IPv4 as such.
pub fn ip(address: Address) -> IpAddr {
    let mut octets = [0; 16];
    for (bytes, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(address) {
        *bytes = word.to_ne_bytes();
    }
    IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn words(ip: Ipv6Addr) -> Address {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(ip.octets().as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        words
    }

    #[test]
    fn addresses_of_both_families() {
        let v4 = "169.254.170.23"
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
            .to_ipv6_mapped();
        assert_eq!(socket(words(v4), 80), "169.254.170.23:80");
        assert_eq!(
            socket(words("fd00:ec2::23".parse().unwrap()), 80),
            "[fd00:ec2::23]:80"
        );
    }

    #[test]
    fn outcomes_by_state_and_error() {
        for (state, errno, expected) in [
            (1, 0, (Outcome::Established, None)),
            (7, 111, (Outcome::Refused, Some(111))),
            (7, 110, (Outcome::Timeout, Some(110))),
            (7, 113, (Outcome::Unreachable, Some(113))),
            (7, 0, (Outcome::Aborted, None)),
        ] {
            let mut record = OutcomeRecord::new_zeroed();
            (record.new_state, record.errno) = (state, errno);
            assert_eq!(describe_outcome(&record), expected);
        }
    }
}
