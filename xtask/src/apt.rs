//! Debian packages: what is known, what is installed, and installing with a reason.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, capture};

/// Whether this is Debian or a derivative with apt.
pub fn here() -> bool {
    Path::new("/etc/debian_version").exists() && process::find("apt-get").is_some()
}

/// Makes sure that a program is in PATH, by its Debian package if it is not.
///
/// # Errors
/// Names the command to run where this process cannot install.
pub fn ensure_program(program: &str, package: &str, why: &str) -> Result<()> {
    if process::find(program).is_some() {
        return Ok(());
    }
    install(&[package], why).with_context(|| format!("`{program}` is missing ({why})"))
}

/// Installs packages, with `apt-get update` first where a name is unknown or the lists are stale.
///
/// # Errors
/// Not Debian or not root: the error says what to run instead.
pub fn install(packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    if !here() {
        bail!(
            "this is not Debian: install what Debian calls {names} with your distribution's tools"
        );
    }
    if !process::is_root() {
        bail!("not root, run this once: sudo apt-get install -y {names}");
    }
    process::step(&format!("installing {names}"), why, || {
        let unknown = packages.iter().any(|name| candidate(name).is_none());
        if !unknown && process::run(&mut install_command(packages)).is_ok() {
            return Ok(());
        }
        update()?;
        process::run(&mut install_command(packages))
    })
}

/// A Debian package's files, unpacked in the cache and never installed: installed, many a package is a service of this machine that
/// nobody asked for. Gives the directory that stands for `/`.
///
/// # Errors
/// When this is not Debian, or apt does not give the package.
pub fn unpacked(package: &str, why: &str) -> Result<PathBuf> {
    let directory = process::cache_directory(package)?.join("package");
    if directory.is_dir() {
        return Ok(directory);
    }
    let what = format!("fetching Debian's package {package}");
    process::step(&what, &format!("{why}; unpacked, not installed"), || {
        unpack(package, &directory)
    })?;
    Ok(directory)
}

/// Downloads the package and unpacks it; what was begun and not ended is not taken for whole.
fn unpack(package: &str, directory: &Path) -> Result<()> {
    if !here() {
        bail!("this is not Debian: the package {package} cannot be had here");
    }
    if candidate(package).is_none() {
        update().with_context(|| {
            format!("apt does not know the package `{package}`; run: sudo apt-get update")
        })?;
    }
    let begun = directory.with_extension(format!("{}", std::process::id()));
    fs::create_dir_all(&begun).with_context(|| begun.display().to_string())?;
    let mut download = Command::new("apt-get");
    // The directory is ours, not that of apt's own user.
    download.args(["download", "-q", "-o", "APT::Sandbox::User=root", package]);
    process::run(download.current_dir(&begun))?;
    for entry in fs::read_dir(&begun)? {
        let archive = entry?.path();
        if archive
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(&begun))?;
            fs::remove_file(&archive)?;
        }
    }
    // Another task may have done the same meanwhile; one of the two is enough.
    if fs::rename(&begun, directory).is_err() {
        fs::remove_dir_all(&begun)?;
    }
    Ok(())
}

/// Reads the package lists anew. Needs root.
pub fn update() -> Result<()> {
    process::run(apt_get().args(["update", "-q"]))
}

fn install_command(packages: &[&str]) -> Command {
    let mut command = apt_get();
    command
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages);
    command
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Two tasks at once wait for each other instead of failing.
    command.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
    command
}

/// The version that apt would install, if it knows the package.
pub fn candidate(package: &str) -> Option<String> {
    let policy = capture(Command::new("apt-cache").args(["policy", package])).ok()?;
    parse_candidate(&policy)
}

/// The version of an installed package.
pub fn installed(package: &str) -> Option<String> {
    let mut query = Command::new("dpkg-query");
    query.args([
        "--show",
        "--showformat",
        "${db:Status-Abbrev} ${Version}",
        package,
    ]);
    let shown = capture(&mut query).ok()?;
    shown
        .strip_prefix("ii ")
        .map(|version| version.trim().to_owned())
}

/// The `Candidate:` of `apt-cache policy NAME`.
fn parse_candidate(policy: &str) -> Option<String> {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|version| *version != "(none)")
        .map(str::to_owned)
}

/// `name - description` lines of `apt-cache search`.
pub fn parse_names(found: &str) -> Vec<String> {
    found
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_candidate() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(
            parse_candidate(policy).as_deref(),
            Some("1.96.0+dfsg1-1~deb12u2")
        );
        assert_eq!(
            parse_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(parse_candidate(""), None);
    }

    #[test]
    fn reads_names() {
        let found =
            "linux-image-6.12.9-cloud-amd64 - Linux 6.12 for x86-64 cloud (signed)\nodd line\n";
        assert_eq!(parse_names(found), ["linux-image-6.12.9-cloud-amd64"]);
    }
}
