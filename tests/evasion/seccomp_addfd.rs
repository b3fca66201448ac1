//! A process asks for a memfd, and its supervisor answers with a descriptor of the token (seccomp user notification).

use std::{fs::File, os::fd::AsFd};

use anyhow::Result;
use lab::sys::{
    fork::{Fork, SingleThreaded},
    seccomp,
};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::common::{offered, only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let single = SingleThreaded::check()?;
    let listener = offered(seccomp::defer(libc::SYS_memfd_create), "seccomp listener")?;
    match single.fork()? {
        Fork::Child => {
            let answered = seccomp::answer(listener.as_fd(), || File::open(path));
            std::process::exit(i32::from(answered.is_err()))
        }
        Fork::Parent(_) => {
            // Where the supervisor fails, nobody is left to listen, and this does too.
            drop(listener);
            read(memfd_create("notes", MemfdFlags::CLOEXEC)?)
        }
    }
}
