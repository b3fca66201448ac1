//! Prometheus and promtool: those in PATH, else Debian's package, unpacked and never installed. Installed, it would be a service
//! of this machine that nobody asked for.

use std::path::PathBuf;

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
    let why = "alert rules are checked and run by the real thing";
    let directory = apt::unpacked(PACKAGE, why)
        .context("put `prometheus` and `promtool` (https://prometheus.io/download) into PATH")?;
    let programs = Programs {
        prometheus: directory.join("usr/bin/prometheus"),
        promtool: directory.join("usr/bin/promtool"),
    };
    ensure!(
        programs.prometheus.is_file() && programs.promtool.is_file(),
        "Debian's package {PACKAGE} holds no usr/bin/prometheus and usr/bin/promtool"
    );
    Ok(programs)
}
