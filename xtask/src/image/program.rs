//! The program in an image: that it needs nothing beside it, and tells nothing of the machine that built it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::contents::Image;
use crate::{process::capture, shipped};

/// Of the kernel half, linked into the program.
const BTF: &[u8] = b".BTF.ext";

/// Everything that must hold of it, each with why it does not.
pub fn checks(
    image: &Image,
    file: &Path,
    remapped: &[(PathBuf, &str)],
) -> Vec<(&'static str, Result<()>)> {
    vec![
        ("static", is_static(file, &image.architecture)),
        ("no paths of this machine", no_paths(file, remapped)),
    ]
}

fn is_static(file: &Path, architecture: &str) -> Result<()> {
    let mut readelf = Command::new("readelf");
    // Without a locale's translations.
    readelf.env("LC_ALL", "C");
    readelf.args(["--wide", "--file-header", "--program-headers", "--dynamic"]);
    let headers = capture(readelf.arg(file)).context("Debian: apt-get install binutils")?;
    judge(&headers, architecture)
}

fn judge(headers: &str, architecture: &str) -> Result<()> {
    let machine = match architecture {
        "amd64" => "Advanced Micro Devices X86-64",
        "arm64" => "AArch64",
        other => bail!("no image of {other} is made"),
    };
    let line = headers
        .lines()
        .find(|line| line.trim().starts_with("Machine:"));
    ensure!(
        line.is_some_and(|line| line.ends_with(machine)),
        "it is for another machine than {architecture}: {}",
        line.unwrap_or("no ELF")
    );
    for (word, why) in [
        ("INTERP", "it wants a dynamic loader"),
        ("(NEEDED)", "it wants shared libraries"),
    ] {
        ensure!(!headers.contains(word), "{why}: {}", shipped::REMEDY);
    }
    ensure!(
        headers.contains("DYN ("),
        "it has a fixed address (no static-pie): exploits would know theirs"
    );
    Ok(())
}

fn no_paths(file: &Path, remapped: &[(PathBuf, &str)]) -> Result<()> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    ensure!(contains(&bytes, BTF), "the kernel half is not in it");
    // In a container image's build the sources may lie where others' seem to lie.
    for (path, _) in remapped.iter().filter(|(from, to)| from != Path::new(to)) {
        let path = path.as_os_str().as_encoded_bytes();
        if let Some(at) = find(&bytes, path) {
            let end = (at + 120).min(bytes.len());
            bail!("it names {}", bytes[at..end].escape_ascii());
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|&byte| byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATIC: &str = "  Type:                              DYN (Position-Independent Executable file)\n  \
        Machine:                           AArch64\n  LOAD           0x000000\n";

    #[test]
    fn a_loader_a_library_another_machine_or_a_fixed_address_is_told() {
        assert!(judge(STATIC, "arm64").is_ok());
        assert!(judge(STATIC, "amd64").is_err());
        assert!(judge("", "arm64").is_err());
        for more in [
            "  INTERP         0x000318",
            " 0x01 (NEEDED)  Shared library: [libc.so.6]",
        ] {
            assert!(
                judge(&format!("{STATIC}{more}\n"), "arm64").is_err(),
                "{more}"
            );
        }
        assert!(judge(&STATIC.replace("DYN (", "EXEC ("), "arm64").is_err());
    }

    #[test]
    fn a_path_is_found_wherever_it_stands() {
        assert_eq!(find(b"//w/w/x", b"/w/x"), Some(3));
        assert_eq!(find(b"//w/w/y", b"/w/x"), None);
        assert_eq!(find(b"/w/", b"/w/x"), None);
        assert_eq!(find(b"x", b""), None);
    }
}
