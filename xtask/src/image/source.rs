//! What the image says of its sources: commit, and the commit's time in place of the build's.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, capture};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Seconds since 1970: `SOURCE_DATE_EPOCH` (reproducible-builds.org), else the commit's.
    pub epoch: u64,
    /// Of the commit; ends with `-dirty` where files differ from it. Empty without git.
    pub revision: String,
}

impl Source {
    /// # Errors
    /// Without git and without `SOURCE_DATE_EPOCH`.
    pub fn read() -> Result<Self> {
        let set = env::var("SOURCE_DATE_EPOCH").ok();
        let epoch = set
            .map_or_else(|| git(&["log", "-1", "--format=%ct"]), Ok)
            .context(
                "no commit to take the image's time from; set it: SOURCE_DATE_EPOCH=$(date +%s) cargo xtask image",
            )?;
        let epoch = epoch.trim();
        let epoch = epoch
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH: {epoch:?} is no number of seconds"))?;
        let mut revision = git(&["rev-parse", "HEAD"]).unwrap_or_default();
        if !revision.is_empty() && is_dirty()? {
            revision.push_str("-dirty");
        }
        Ok(Self { epoch, revision })
    }
}

/// Whether files differ from the commit.
///
/// # Errors
/// Without git.
pub fn is_dirty() -> Result<bool> {
    Ok(!git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty())
}

/// The commit's files, in a directory of their own that is gone when this is dropped.
pub struct Clone(PathBuf);

impl Clone {
    pub fn make(directory: &Path) -> Result<Self> {
        ensure!(
            !is_dirty()?,
            "files differ from the commit, and a second build is made from the commit: commit them first"
        );
        let this = Self(directory.to_owned());
        let mut git = Command::new("git");
        git.args(["clone", "--quiet", "--shared"]);
        process::run(git.arg(process::workspace()).arg(directory))?;
        Ok(this)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        // What is left is a temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn git(words: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    let said = capture(git.current_dir(process::workspace()).args(words))?;
    Ok(said.trim().to_owned())
}
