//! sendto(2) with `MSG_FASTOPEN`: connects without connect(2).

use std::net::TcpStream;

use anyhow::Result;
use rustix::net::{SendFlags, sendto};

use crate::common::{AGENT, REQUEST, answer, tcp};

pub const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(libc::MSG_FASTOPEN.cast_unsigned());

pub fn run(_: &[String]) -> Result<()> {
    let socket = tcp()?;
    sendto(&socket, REQUEST, FAST_OPEN, &AGENT)?;
    answer(&mut TcpStream::from(socket))
}
