//! Sockets: one that is asked for, one that listens where nobody comes, one that shakes hands and says nothing.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt::set_ip_freebind,
    },
};

use crate::simulate::Refusal;

/// The EKS Pod Identity Agent's, in clusters of IPv4 and of IPv6.
const AGENT: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)), 80),
    SocketAddr::new(
        std::net::IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
        80,
    ),
];

/// On the node itself: who is there answers at once.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// A refusal is as good: the attempt is what is told of.
pub fn ask_for_packet_socket() -> Result<Option<String>, Refusal> {
    match socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    ) {
        Ok(_) => Ok(Some("the kernel gave it; it was closed".to_owned())),
        Err(Errno::PERM) => Ok(Some(
            "the kernel refused it, which is told of as well".to_owned(),
        )),
        Err(error) => Err(Refusal::Socket(error.into())),
    }
}

pub fn listen_as_agent() -> Result<(), Refusal> {
    let [address, _] = AGENT;
    let listened = || -> Result<(), Errno> {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // The address is not this pod's, and is not made its own: nothing is routed here.
        set_ip_freebind(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, 1)
    };
    listened().map_err(|error| Refusal::Listen {
        address,
        source: error.into(),
    })
}

pub fn connect_to_agent() -> Result<Option<String>, Refusal> {
    connect(&AGENT)
}

/// With the first that answers; to the others, too, nothing is sent.
fn connect(addresses: &[SocketAddr]) -> Result<Option<String>, Refusal> {
    let mut refused = Vec::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, ANSWERS_WITHIN) {
            Ok(connection) => {
                drop(connection);
                return Ok(Some(format!("{address} answered")));
            }
            Err(error) => refused.push(format!("{address}: {error}")),
        }
    }
    Err(Refusal::NoAgent(refused.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener, thread};

    use super::*;

    #[test]
    fn nothing_is_sent_and_the_next_address_is_tried() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|gone| gone.local_addr())
            .unwrap();
        let agent = thread::spawn(move || {
            let mut said = Vec::new();
            let (mut connection, _) = listener.accept().unwrap();
            connection.read_to_end(&mut said).unwrap();
            said
        });
        let note = connect(&[nobody, there]).unwrap().unwrap();
        assert!(note.contains(&there.to_string()), "{note}");
        assert_eq!(agent.join().unwrap(), b"");
        let refused = connect(&[nobody]).unwrap_err().to_string();
        assert!(refused.contains(&nobody.to_string()), "{refused}");
    }
}
