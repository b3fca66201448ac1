//! A process of the victim's pod connects to the agent, and sends the connected socket to the thief in a message.

use std::net::TcpStream;

use anyhow::{Result, bail};

use crate::{
    common::{AGENT, ask, left_running},
    fds,
};

pub fn run(args: &[String]) -> Result<()> {
    match args {
        [send, socket] if send == "send" => {
            left_running(|ready| fds::serve(socket, TcpStream::connect(AGENT)?, ready))
        }
        // Both hold it: its end comes when the victim's pod is deleted.
        [receive, socket] if receive == "receive" => ask(fds::fetch(socket)?),
        _ => bail!("usage: socket-scm-rights send SOCKET | … receive SOCKET"),
    }
}
