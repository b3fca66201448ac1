//! A directory of the lab's programs with copies of `flood`: executables that differ by their inodes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Removed when dropped.
pub struct Helpers {
    dir: PathBuf,
    /// Names of the copies, as containers call them.
    pub copies: Vec<String>,
}

impl Helpers {
    /// The programs beside `from`'s, and `copies` of `flood` called `flood-0` and so on.
    pub fn with_copies(from: &Path, copies: usize) -> Result<Self> {
        let dir =
            std::env::temp_dir().join(format!("credential-lab-programs-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let mut this = Self {
            dir,
            copies: Vec::new(),
        };
        for name in [
            "agent", "enter", "flood", "imds", "kubelet", "pause", "peek", "sdk", "shim",
        ] {
            this.copy(&from.join(name), name)?;
        }
        for index in 0..copies {
            let name = format!("flood-{index}");
            this.copy(&from.join("flood"), &name)?;
            this.copies.push(name);
        }
        Ok(this)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn copy(&self, from: &Path, name: &str) -> Result<()> {
        let copied = fs::copy(from, self.dir.join(name));
        copied.with_context(|| format!("copy {}", from.display()))?;
        Ok(())
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        // What stays is a few programs in a directory of temporary files.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
