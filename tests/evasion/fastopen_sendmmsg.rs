//! sendmmsg(2) with `MSG_FASTOPEN`: connects without connect(2).

use std::net::TcpStream;

use anyhow::Result;
use lab::sys::raw;

use crate::common::{AGENT, REQUEST, answer, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let socket = tcp()?;
    raw::send_many_fast(&socket, AGENT, REQUEST)?;
    answer(&mut TcpStream::from(socket))
}
