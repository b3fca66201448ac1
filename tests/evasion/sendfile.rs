//! Open and sendfile(2) into a socket.

use std::{fs::File, io::Read, os::unix::net::UnixStream};

use anyhow::Result;
use rustix::fs::sendfile;

use crate::common::{only, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let (out, mut inward) = UnixStream::pair()?;
    sendfile(out, &file, None, 16_384)?;
    let mut bytes = Vec::new();
    inward.read_to_end(&mut bytes)?;
    token(&bytes)
}
