//! Files that are gone when nobody needs them, killed or not. Both are made below cargo's target directory, where nobody else
//! can put something in the place of a name that they guess, as they could in /tmp.

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::AsRawFd as _,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};

use crate::process;

/// A path that no other file of this process or of another that runs has; the file goes with its owner.
pub struct Temporary(pub PathBuf);

impl Temporary {
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = process::target_directory().join("vm-test");
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self(
            directory.join(format!("{}-{number}", std::process::id())),
        ))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may never have been made, and a left-over there harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// A file without a name: however this process ends, its room is free again.
pub struct Unnamed(File);

impl Unnamed {
    /// # Errors
    /// When there is no room for it.
    pub fn write(contents: &[u8]) -> Result<Self> {
        let named = Temporary::new()?;
        let file = File::create(&named.0).and_then(|mut file| {
            file.write_all(contents)?;
            Ok(file)
        });
        Ok(Self(file.with_context(|| named.0.display().to_string())?))
    }

    /// Where a program of the same user opens it, as long as this process has it.
    pub fn path(&self) -> PathBuf {
        let (process, file) = (std::process::id(), self.0.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::capture;

    #[test]
    fn a_file_without_a_name_is_read_by_others() {
        let file = Unnamed::write(b"contents").unwrap();
        let target = fs::read_link(file.path()).unwrap();
        assert!(target.to_string_lossy().ends_with(" (deleted)"));
        let read = capture(std::process::Command::new("cat").arg(file.path()));
        assert_eq!(read.unwrap(), "contents");
    }

    #[test]
    fn names_differ_and_go() {
        let (one, other) = (Temporary::new().unwrap(), Temporary::new().unwrap());
        assert_ne!(one.0, other.0);
        let path = one.0.clone();
        fs::write(&path, "").unwrap();
        drop(one);
        assert!(!path.exists());
    }
}
