//! One process of the pod opens, and sends the descriptor to another in a message (SCM_RIGHTS).

use std::{
    fs::File,
    os::{fd::AsFd, unix::net::UnixStream},
};

use anyhow::Result;
use lab::sys::{
    fork::{Fork, SingleThreaded},
    passing,
};

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let single = SingleThreaded::check()?;
    let (here, there) = UnixStream::pair()?;
    match single.fork()? {
        Fork::Child => {
            let sent = File::open(path).map_err(Into::into);
            let sent = sent.and_then(|file| passing::send(&there, file.as_fd()));
            std::process::exit(i32::from(sent.is_err()))
        }
        Fork::Parent(_) => {
            drop(there);
            read(passing::receive(&here)?)
        }
    }
}
