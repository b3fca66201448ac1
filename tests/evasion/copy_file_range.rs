//! Open and copy_file_range(2) into a file of its own.

use std::fs::File;

use anyhow::Result;
use rustix::{fs::copy_file_range, io::Errno};

use crate::common::{only, skip, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let copy = File::create("/tmp/copy")?;
    match copy_file_range(&file, None, &copy, None, 16_384) {
        // Not between file systems before 5.3, and again from 5.19 on.
        Err(Errno::XDEV) => return Err(skip("no copy_file_range between file systems here")),
        done => done?,
    };
    token(&std::fs::read("/tmp/copy")?)
}
