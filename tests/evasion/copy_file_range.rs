//! Open and copy_file_range(2). The copy lies in the volume too: kernels from 5.19 on copy within one file system only.

use std::{fs::File, os::unix::fs::FileExt};

use anyhow::Result;
use rustix::fs::copy_file_range;

use crate::common::{apart, only, token};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let file = File::open(path)?;
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    let copy = options.open(apart(path)?.0.join("copy"))?;
    let length = copy_file_range(&file, None, &copy, None, 16_384)?;
    let mut bytes = vec![0; length];
    copy.read_exact_at(&mut bytes, 0)?;
    token(&bytes)
}
