//! A process of the victim's pod opens its own token, and sends the descriptor to the thief in a message (SCM_RIGHTS).

use std::fs::File;

use anyhow::{Result, bail};

use crate::{
    common::{left_running, read},
    fds,
};

pub fn run(args: &[String]) -> Result<()> {
    match args {
        [send, path, socket] if send == "send" => {
            left_running(|ready| fds::serve(socket, File::open(path)?, ready))
        }
        [receive, socket] if receive == "receive" => read(fds::fetch(socket)?),
        _ => bail!("usage: scm-rights-from-victim send PATH SOCKET | … receive SOCKET"),
    }
}
