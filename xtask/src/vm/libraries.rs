//! The shared libraries of a guest's binaries: by `ldd` for this machine's, by their ELF headers for others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{arch::Arch, cross};
use crate::process::capture;

/// Path in the guest -> file here.
pub type Libraries = BTreeMap<String, PathBuf>;

/// # Errors
/// When a library that a foreign binary needs is not in the cross C library.
pub fn find(arch: Arch, binaries: &[&Path]) -> Result<Libraries> {
    if arch.is_host() {
        Ok(of_host(binaries))
    } else {
        foreign(binaries)
    }
}

fn of_host(binaries: &[&Path]) -> Libraries {
    let mut libraries = Libraries::new();
    for binary in binaries {
        // ldd fails on a static binary; whatever is missing otherwise shows when the guest starts it.
        let listing = capture(Command::new("ldd").arg(binary)).unwrap_or_default();
        libraries.extend(
            parse_ldd(&listing)
                .into_iter()
                .map(|path| (path.clone(), PathBuf::from(path))),
        );
    }
    libraries
}

fn foreign(binaries: &[&Path]) -> Result<Libraries> {
    let mut libraries = Libraries::new();
    let mut names = BTreeSet::new();
    let mut pending: Vec<PathBuf> = binaries.iter().map(|path| path.to_path_buf()).collect();
    while let Some(binary) = pending.pop() {
        let headers = capture(
            Command::new("readelf")
                .args(["--wide", "--program-headers", "--dynamic"])
                .arg(&binary),
        )?;
        let needs = parse_readelf(&headers);
        if let Some(interpreter) = needs.interpreter {
            let name = Path::new(&interpreter).file_name().unwrap_or_default();
            libraries.insert(interpreter.clone(), Path::new(cross::LIBRARIES).join(name));
        }
        for name in needs.libraries {
            if !names.insert(name.clone()) {
                continue;
            }
            let file = Path::new(cross::LIBRARIES).join(&name);
            if !file.exists() {
                anyhow::bail!(
                    "{} needs {name}, and {} has none",
                    binary.display(),
                    cross::LIBRARIES
                );
            }
            // The dynamic loader looks there without a cache.
            libraries.insert(format!("/lib/{name}"), file.clone());
            pending.push(file);
        }
    }
    for file in libraries.values() {
        std::fs::metadata(file).with_context(|| file.display().to_string())?;
    }
    Ok(libraries)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
}

/// `[Requesting program interpreter: PATH]` and `(NEEDED) Shared library: [NAME]` of `readelf`.
fn parse_readelf(headers: &str) -> Needs {
    let between = |line: &str, mark: &str| {
        let (_, rest) = line.split_once(mark)?;
        Some(rest.split(']').next()?.to_owned())
    };
    let mut needs = Needs::default();
    for line in headers.lines() {
        if let Some(path) = between(line, "[Requesting program interpreter: ") {
            needs.interpreter = Some(path);
        } else if line.contains("(NEEDED)") {
            needs.libraries.extend(between(line, "["));
        }
    }
    needs
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

    #[test]
    fn reads_elf_headers() {
        let headers = "  INTERP  0x0002a8\n\
            \x20     [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]\n\
            \x20 0x0000000000000001 (NEEDED)  Shared library: [libgcc_s.so.1]\n\
            \x20 0x0000000000000001 (NEEDED)  Shared library: [libc.so.6]\n";
        let expected = Needs {
            interpreter: Some("/lib/ld-linux-aarch64.so.1".into()),
            libraries: vec!["libgcc_s.so.1".into(), "libc.so.6".into()],
        };
        assert_eq!(parse_readelf(headers), expected);
    }
}
