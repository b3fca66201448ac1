//! The victim's socket, connected to the agent, is copied out of its process (pidfd_getfd).

use std::net::TcpStream;

use anyhow::{Result, bail};

use crate::{
    common::{AGENT, ask, leave_word, left_running, stay, wait_for_word},
    pidfd_getfd::copied,
};

pub fn run(args: &[String]) -> Result<()> {
    match args {
        [hold] if hold == "hold" => left_running(|ready| {
            let connection = TcpStream::connect(AGENT)?;
            ready();
            wait_for_word("release")?;
            drop(connection);
            stay()
        }),
        [take, pid] if take == "take" => ask(copied(pid, "socket:")?),
        [release] if release == "release" => leave_word("release"),
        _ => bail!("usage: socket-pidfd-getfd hold | … take PID | … release"),
    }
}
