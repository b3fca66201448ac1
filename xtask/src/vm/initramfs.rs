//! The guest's root: the lab as /init, the auditor, a shell, their shared libraries, and kernel modules.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{TemporaryFile, cpio::Archive, modules::Module};
use crate::process::capture;

const LAB: &str = "/bin-lab/lab";
/// For exec probes that are scripts or `sh -c`.
const SHELL: &str = "/bin/sh";

/// What goes in. `job` is one `lab` command line a line.
pub struct Contents<'a> {
    pub auditor: &'a Path,
    pub lab: &'a Path,
    pub helpers: &'a [PathBuf],
    pub modules: &'a [Module],
    pub job: &'a str,
}

/// The initramfs, uncompressed: the guest unpacks it faster than it would decompress it under emulation.
///
/// # Errors
/// When a binary or a shared library is missing.
pub fn build(contents: &Contents<'_>) -> Result<Vec<u8>> {
    let Contents {
        auditor,
        lab,
        helpers,
        modules,
        job,
    } = contents;
    let mut archive = Archive::new();
    for directory in [
        "/proc", "/sys", "/dev", "/tmp", "/run", "/var/lib", "/etc", "/root",
    ] {
        archive.directory(directory);
    }
    // The kernel opens it as init's input and output before anything is mounted.
    archive.char_device("/dev/console", 0o600, (5, 1));
    archive.file(LAB, 0o755, &stripped(lab)?);
    archive.symlink("/init", LAB);
    archive.file("/auditor", 0o755, &stripped(auditor)?);
    for helper in *helpers {
        let name = helper
            .file_name()
            .context("a helper without a name")?
            .to_string_lossy();
        archive.file(&format!("/bin-lab/{name}"), 0o755, &stripped(helper)?);
    }
    archive.file(SHELL, 0o755, &read(Path::new(SHELL))?);
    let binaries = [*auditor, *lab, Path::new(SHELL)].into_iter();
    let binaries = binaries.chain(helpers.iter().map(PathBuf::as_path));
    for library in shared_libraries(binaries)? {
        archive.file(&library, 0o755, &read(Path::new(&library))?);
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

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A binary without its line tables, four fifths of it, which would cost the guest memory and time.
/// Function names stay, for backtraces.
fn stripped(binary: &Path) -> Result<Vec<u8>> {
    let copy = TemporaryFile::write("stripped", b"")?;
    // Part of binutils, without which nothing would have been linked.
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(&copy.0);
    capture(strip.arg(binary))?;
    read(&copy.0)
}

fn shared_libraries<'a>(binaries: impl Iterator<Item = &'a Path>) -> Result<BTreeSet<String>> {
    let mut libraries = BTreeSet::new();
    for binary in binaries {
        // ldd fails on a static binary; whatever is missing otherwise shows when the guest starts it.
        let listing = capture(Command::new("ldd").arg(binary)).unwrap_or_default();
        libraries.extend(parse_ldd(&listing));
    }
    Ok(libraries)
}

/// The absolute paths in `ldd`'s output, the loader's included.
fn parse_ldd(listing: &str) -> Vec<String> {
    let lines = listing.lines().filter_map(|line| {
        let file = line
            .split_once(" => ")
            .map_or(line, |(_, file)| file)
            .trim();
        let (path, _address) = file.rsplit_once(" (0x")?;
        path.starts_with('/').then(|| path.to_owned())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ldd() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f1d)\n";
        assert_eq!(
            parse_ldd(listing),
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(parse_ldd("\tstatically linked\n").is_empty());
    }
}
