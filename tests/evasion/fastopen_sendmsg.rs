//! sendmsg(2) with `MSG_FASTOPEN`: connects without connect(2).

use std::{io::IoSlice, net::TcpStream};

use anyhow::Result;
use rustix::net::{SendAncillaryBuffer, sendmsg_addr};

use crate::{
    common::{AGENT, REQUEST, answer, tcp},
    fastopen_sendto::FAST_OPEN,
};

pub fn run(_: &[String]) -> Result<()> {
    let socket = tcp()?;
    let mut control = SendAncillaryBuffer::default();
    sendmsg_addr(
        &socket,
        &AGENT,
        &[IoSlice::new(REQUEST)],
        &mut control,
        FAST_OPEN,
    )?;
    answer(&mut TcpStream::from(socket))
}
