//! Opened in a user namespace of its own.

use std::fs::File;

use anyhow::Result;
use rustix::{
    io::Errno,
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::common::{only, read, skip};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    // SAFETY: no descriptor table is unshared.
    match unsafe { unshare_unsafe(UnshareFlags::NEWUSER) } {
        Err(e @ (Errno::INVAL | Errno::NOSPC)) => {
            return Err(skip(format!("no user namespaces here: {e}")));
        }
        done => done?,
    }
    read(File::open(path)?)
}
