//! open(2).

use anyhow::Result;
use lab::sys::raw;

use crate::common::{c_path, offered, only, read};

pub fn run(args: &[String]) -> Result<()> {
    read(offered(raw::open(&c_path(only(args)?)?), "open(2)")?)
}
