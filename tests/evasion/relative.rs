//! A directory of the volume is made the current one, and the token opened by its bare name.

use std::{env, fs::File};

use anyhow::Result;

use crate::common::{apart, only, read};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    env::set_current_dir(dir)?;
    read(File::open(name)?)
}
