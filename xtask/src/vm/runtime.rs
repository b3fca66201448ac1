//! What a guest makes real containers with: this machine's containerd and runc, and what the lab's suite asks of a machine beside them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{cpio::Archive, initramfs::read};
use crate::{e2e, process};

/// By their names in `PATH`, here and there.
const PROGRAMS: [&str; 5] = [
    "containerd",
    "ctr",
    "containerd-shim-runc-v2",
    "runc",
    "busybox",
];
/// What the suite calls to make images.
const APPLETS: [&str; 2] = ["tar", "sha256sum"];
/// As the C library's own script does, for which it takes bash.
const LDD: &str = "#!/bin/sh\nexec /lib64/ld-linux-x86-64.so.2 --list \"$1\"\n";
/// Where the guest has the DaemonSet.
pub const MANIFEST: &str = "/daemonset.yaml";

/// The programs' paths here.
pub struct Runtime(Vec<PathBuf>);

impl Runtime {
    /// Installs what is missing.
    ///
    /// # Errors
    /// Names what cannot be installed here.
    pub fn here() -> Result<Self> {
        e2e::containerd::programs()?;
        let found = PROGRAMS.into_iter().map(|name| {
            let path = process::find(name);
            path.with_context(|| format!("`{name}` is missing"))
        });
        found.collect::<Result<_>>().map(Self)
    }

    pub fn programs(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// # Errors
    /// When a file cannot be read.
    pub fn add_to(&self, archive: &mut Archive) -> Result<()> {
        for (name, program) in PROGRAMS.into_iter().zip(&self.0) {
            archive.file(&format!("/usr/bin/{name}"), 0o755, &read(program)?);
        }
        for name in APPLETS {
            archive.symlink(&format!("/bin/{name}"), "/usr/bin/busybox");
        }
        archive.file("/bin/ldd", 0o755, LDD.as_bytes());
        let manifest = process::workspace().join(e2e::containerd::DAEMONSET);
        archive.file(MANIFEST, 0o644, &read(&manifest)?);
        Ok(())
    }
}
