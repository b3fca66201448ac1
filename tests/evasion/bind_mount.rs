//! A bind mount of the file elsewhere, with a harmless name.

use std::{fs::File, path::Path};

use anyhow::Result;
use lab::sys::mounts;
use rustix::mount::MountPropagationFlags;

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let target = Path::new("/tmp/readme.txt");
    let private = MountPropagationFlags::PRIVATE;
    mounts::bind(&only(args)?.canonicalize()?, target, false, private)?;
    read(File::open(target)?)
}
