//! A copy of the volume's mount, mounted elsewhere (open_tree, move_mount).

use std::fs::{self, File};

use anyhow::Result;
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, move_mount},
};

use crate::{
    common::{apart, only, read},
    open_tree::copy,
};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    fs::create_dir("/tmp/notes")?;
    let from_itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(copy(dir)?, "", CWD, "/tmp/notes", from_itself)?;
    read(File::open(std::path::Path::new("/tmp/notes").join(name))?)
}
