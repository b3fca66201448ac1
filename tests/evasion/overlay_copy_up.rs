//! A file on an overlay's lower layer is opened for writing, and the kernel copies it up for that.

use std::fs::File;

use anyhow::Result;

use crate::{
    common::{only, read},
    overlay_lower::below_overlay,
};

pub fn run(args: &[String]) -> Result<()> {
    let path = below_overlay(only(args)?)?;
    read(File::options().read(true).write(true).open(path)?)
}
