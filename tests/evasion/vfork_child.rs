//! A vfork'ed child opens and reads, in its parent's memory.

use std::{env, fs::File};

use anyhow::Result;
use lab::sys::raw;

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    only(args)?;
    Ok(raw::in_vfork(|| {
        let Some(path) = env::args().nth(2) else {
            return 2;
        };
        let got = File::open(path).map_err(Into::into).and_then(read);
        i32::from(got.is_err())
    })?)
}
