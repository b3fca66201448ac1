//! Prometheus and promtool: those in PATH, else Debian's package, unpacked and never installed. Installed, it would be a service
//! of this machine that nobody asked for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{apt, process};

const PACKAGE: &str = "prometheus";

pub struct Programs {
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
}

/// # Errors
/// When they are not here and Debian's package cannot be had; the message says what to do.
pub fn programs() -> Result<Programs> {
    let here = process::find("prometheus").zip(process::find("promtool"));
    if let Some((prometheus, promtool)) = here {
        return Ok(Programs {
            prometheus,
            promtool,
        });
    }
    let directory = process::cache_directory(PACKAGE)?.join("package");
    let programs = Programs {
        prometheus: directory.join("usr/bin/prometheus"),
        promtool: directory.join("usr/bin/promtool"),
    };
    if programs.prometheus.is_file() && programs.promtool.is_file() {
        return Ok(programs);
    }
    let why = "alert rules are checked and run by the real thing; unpacked, not installed";
    process::step("fetching Debian's package prometheus", why, || {
        fetch(&directory)
    })?;
    ensure!(
        programs.prometheus.is_file() && programs.promtool.is_file(),
        "Debian's package {PACKAGE} holds no usr/bin/prometheus and usr/bin/promtool"
    );
    Ok(programs)
}

/// Downloads the package and unpacks it; what was begun and not ended is not taken for whole.
fn fetch(directory: &Path) -> Result<()> {
    ensure!(
        apt::here(),
        "this is not Debian: put `prometheus` and `promtool` (https://prometheus.io/download) into PATH"
    );
    if apt::candidate(PACKAGE).is_none() {
        apt::update()
            .context("apt does not know the package `prometheus`; run: sudo apt-get update")?;
    }
    let begun = directory.with_extension(format!("{}", std::process::id()));
    fs::create_dir_all(&begun).with_context(|| begun.display().to_string())?;
    let mut download = Command::new("apt-get");
    // The directory is ours, not that of apt's own user.
    download.args(["download", "-q", "-o", "APT::Sandbox::User=root", PACKAGE]);
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
