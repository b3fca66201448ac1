//! The volume is an overlay's lower layer: what is opened lies on another superblock.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use lab::sys::mounts;
use rustix::mount::{MountFlags, mount};

use crate::common::{apart, only, read, skip};

pub fn run(args: &[String]) -> Result<()> {
    read(File::open(below_overlay(only(args)?)?)?)
}

/// The token's path in an overlay whose lower layer is the token's directory.
pub fn below_overlay(path: &Path) -> Result<PathBuf> {
    let path = path.canonicalize()?;
    let (lower, name) = apart(&path)?;
    let layers = Path::new("/tmp/layers");
    fs::create_dir(layers)?;
    mounts::tmpfs(layers, "mode=0755")?;
    // A colon parts lower layers; a link has none.
    std::os::unix::fs::symlink(lower, layers.join("lower"))?;
    for dir in ["upper", "work", "merged"] {
        fs::create_dir(layers.join(dir))?;
    }
    let options = c"lowerdir=/tmp/layers/lower,upperdir=/tmp/layers/upper,workdir=/tmp/layers/work";
    let merged = layers.join("merged");
    match mount("overlay", &merged, "overlay", MountFlags::empty(), options) {
        Err(rustix::io::Errno::NODEV) => Err(skip("this kernel has no overlayfs")),
        done => {
            done.context("mount an overlay")?;
            Ok(merged.join(name))
        }
    }
}
