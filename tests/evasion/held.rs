//! The victim's part in several techniques: a process that goes on running with its token open, mapped, or in its memory.
//!
//! `held open PATH | map PATH | memory PATH | directory PATH | nothing`

use std::{
    env,
    fs::{self, File},
    os::fd::AsFd,
};

use anyhow::{Result, bail};
use lab::sys::raw;

use crate::common::{apart, left_running, stay};

/// On its stack, where a thief finds it.
const ROOM: usize = 8192;

pub fn run(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    left_running(|ready| match args[..] {
        ["open", path] => {
            let _file = File::open(path)?;
            ready();
            stay()
        }
        ["map", path] => {
            let file = File::open(path)?;
            raw::map_for_good(file.as_fd(), usize::try_from(file.metadata()?.len())?)?;
            drop(file);
            ready();
            stay()
        }
        ["memory", path] => {
            let mut room = [0_u8; ROOM];
            let token = fs::read(path)?;
            room[..token.len().min(ROOM)].copy_from_slice(&token[..token.len().min(ROOM)]);
            ready();
            stay()?;
            std::hint::black_box(&room);
            Ok(())
        }
        ["directory", path] => {
            env::set_current_dir(apart(path.as_ref())?.0)?;
            ready();
            stay()
        }
        ["nothing"] => {
            ready();
            stay()
        }
        _ => bail!("usage: held open|map|memory|directory PATH | held nothing"),
    })
}
