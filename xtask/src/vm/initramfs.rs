//! The guest's root: the lab as /init, the auditor, a shell, their shared libraries, and kernel modules.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    arch::Arch, cpio::Archive, guest::Binaries, libraries, modules::Module, runtime::Runtime,
    temporary::Temporary,
};
use crate::process::capture;

const LAB: &str = "/bin-lab/lab";
/// The lab's kubelet, where nodes have theirs: the auditor finds it there by itself.
const KUBELET: &str = "/usr/bin/kubelet";
/// In a directory of its own, which the simulation's pods are given; `/auditor` leads to it.
const AUDITOR: &str = "/bin-auditor/auditor";
/// For exec probes that are scripts or `sh -c`.
const SHELL: &str = "/bin/sh";

/// What goes in. `job` is one `lab` command line a line.
pub struct Contents<'a> {
    pub binaries: &'a Binaries,
    pub modules: &'a [Module],
    pub job: &'a str,
    /// What real containers are made with, where the job has any.
    pub runtime: Option<&'a Runtime>,
}

/// The initramfs, uncompressed: the guest unpacks it faster than it would decompress it under emulation.
///
/// # Errors
/// When a binary or a shared library is missing.
pub fn build(contents: &Contents<'_>) -> Result<Vec<u8>> {
    let Contents {
        binaries,
        modules,
        job,
        runtime,
    } = contents;
    let Binaries {
        arch,
        auditor,
        lab,
        helpers,
        shell,
    } = binaries;
    let mut archive = Archive::new();
    for directory in [
        "/proc", "/sys", "/dev", "/tmp", "/run", "/var/lib", "/etc", "/root",
    ] {
        archive.directory(directory);
    }
    // The kernel opens it as init's input and output before anything is mounted.
    archive.char_device("/dev/console", 0o600, (5, 1));
    archive.file(LAB, 0o755, &stripped(*arch, lab)?);
    archive.symlink("/init", LAB);
    archive.file(AUDITOR, 0o755, &stripped(*arch, auditor)?);
    archive.symlink("/auditor", AUDITOR);
    for helper in helpers {
        let name = helper
            .file_name()
            .context("a helper without a name")?
            .to_string_lossy();
        let mut path = format!("/bin-lab/{name}");
        if name == "kubelet" {
            archive.symlink(&path, KUBELET);
            path = KUBELET.to_owned();
        }
        archive.file(&path, 0o755, &stripped(*arch, helper)?);
    }
    archive.file(SHELL, 0o755, &read(shell)?);
    let mut all: Vec<&Path> = vec![auditor, lab, shell];
    all.extend(helpers.iter().map(PathBuf::as_path));
    if let Some(runtime) = runtime {
        runtime.add_to(&mut archive)?;
        all.extend(runtime.programs());
    }
    for (path, file) in libraries::find(*arch, &all)? {
        archive.file(&path, 0o755, &read(&file)?);
    }
    let mut order = String::new();
    for Module { name, object } in *modules {
        archive.file(&format!("/modules/{name}.ko"), 0o644, object);
        order.push_str(&format!("{name}.ko\n"));
    }
    archive.file("/modules/order", 0o644, order.as_bytes());
    archive.file("/job", 0o644, job.as_bytes());
    Ok(archive.finish())
}

pub fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A binary without its line tables, four fifths of it, which would cost the guest memory and time.
/// Function names stay, for backtraces.
fn stripped(arch: Arch, binary: &Path) -> Result<Vec<u8>> {
    let copy = Temporary::new()?;
    // Part of binutils, without which nothing would have been linked.
    let mut strip = Command::new(if arch.is_host() {
        "strip".to_owned()
    } else {
        format!("{}-linux-gnu-strip", arch.name())
    });
    strip.arg("--strip-debug").arg("-o").arg(&copy.0);
    capture(strip.arg(binary))?;
    read(&copy.0)
}
