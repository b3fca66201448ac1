//! Open and splice(2) into a pipe.

use std::{fs::File, io::Read};

use anyhow::Result;
use rustix::pipe::{SpliceFlags, splice};

use crate::common::{only, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let (mut out, pipe) = std::io::pipe()?;
    splice(&file, None, pipe, None, 16_384, SpliceFlags::empty())?;
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes)?;
    token(&bytes)
}
