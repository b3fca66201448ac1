//! One process of the pod opens, and sends the descriptor to another in a message (SCM_RIGHTS).

use std::{fs::File, os::unix::net::UnixStream};

use anyhow::Result;
use lab::sys::fork::{Fork, SingleThreaded};

use crate::{
    common::{only, read},
    fds,
};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let single = SingleThreaded::check()?;
    let (here, there) = UnixStream::pair()?;
    match single.fork()? {
        Fork::Child => {
            let sent = File::open(path).map_err(Into::into);
            let sent = sent.and_then(|file| fds::send(&there, file));
            std::process::exit(i32::from(sent.is_err()))
        }
        Fork::Parent(_) => {
            drop(there);
            read(fds::receive(&here)?)
        }
    }
}
