//! Where the benchmark's node is made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::process;

/// A mount below which everything is made, so that one unmount takes all away, also what a crashed run left.
pub struct Stage(PathBuf);

impl Stage {
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Removes what a crashed run left, then mounts. Needs root.
    pub fn mount() -> Result<Self> {
        let stage = Self(std::env::temp_dir().join("eks-credential-auditor-bench"));
        stage.unmount();
        fs::create_dir_all(&stage.0)?;
        process::capture(
            Command::new("mount")
                .args(["-t", "tmpfs", "tmpfs"])
                .arg(&stage.0),
        )?;
        Ok(stage)
    }

    fn unmount(&self) {
        if is_mounted(&self.0)
            && let Err(error) = process::capture(Command::new("umount").arg("-R").arg(&self.0))
        {
            println!("{} stays mounted: {error:#}", self.0.display());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.unmount();
        // Fails only when something is still mounted there, which has been said.
        let _ = fs::remove_dir(&self.0);
    }
}

fn is_mounted(directory: &Path) -> bool {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let directory = directory.to_string_lossy();
    mountinfo
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(&*directory))
}
