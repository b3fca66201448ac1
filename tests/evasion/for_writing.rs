//! The token is opened for reading and writing, as an editor does.

use std::fs::File;

use anyhow::Result;

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    read(File::options().read(true).write(true).open(only(args)?)?)
}
