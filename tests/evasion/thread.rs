//! A second thread opens.

use std::{fs::File, thread};

use anyhow::{Result, anyhow};

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?.to_owned();
    let opened = thread::spawn(move || File::open(path)).join();
    read(opened.map_err(|_| anyhow!("the thread panicked"))??)
}
