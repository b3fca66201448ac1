//! The programs that examples are held against: our own, and real ones from PyPI and Debian.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{apt, build::Built, process, prometheus, venv::Venv};

/// What is not to be had here says why.
pub struct Tools {
    pub auditor: PathBuf,
    pub lab: PathBuf,
    pub xtask: PathBuf,
    /// kubectl, aws, and what checks data (`tests/examples/requirements.txt`).
    pub venv: Result<Venv, String>,
    pub promtool: Result<PathBuf, String>,
    pub amtool: Result<PathBuf, String>,
    pub logrotate: Result<PathBuf, String>,
    /// What logrotate loads, where it is not installed.
    pub libraries: Option<PathBuf>,
}

impl Tools {
    /// # Errors
    /// When this program does not know where it is.
    pub fn find(built: &Built) -> Result<Self> {
        let why = "examples of the documents are run";
        for (program, package) in [
            ("jq", "jq"),
            ("ip", "iproute2"),
            ("less", "less"),
            ("man", "man-db"),
        ] {
            if let Err(error) = apt::ensure_program(program, package, why) {
                println!("{error:#}");
            }
        }
        let requirements = process::workspace().join("tests/examples/requirements.txt");
        let unpacked =
            |package: &str| apt::unpacked(package, why).map_err(|error| format!("{error:#}"));
        let debian = |program: &str, package: &str, path: &str| match process::find(program) {
            Some(found) => Ok(found),
            None => unpacked(package).map(|directory| directory.join(path)),
        };
        let libraries = match process::find("logrotate") {
            Some(_) => None,
            None => unpacked("libpopt0").ok().and_then(|directory| {
                let mut kinds = fs::read_dir(directory.join("usr/lib")).ok()?;
                kinds.find_map(|kind| kind.ok().map(|kind| kind.path()))
            }),
        };
        Ok(Self {
            auditor: std::path::absolute(&built.auditor)?,
            lab: std::path::absolute(&built.lab)?,
            xtask: std::env::current_exe().context("where is xtask?")?,
            venv: Venv::open("examples", &requirements).map_err(|error| format!("{error:#}")),
            promtool: prometheus::programs()
                .map(|programs| programs.promtool)
                .map_err(|error| format!("{error:#}")),
            amtool: debian("amtool", "prometheus-alertmanager", "usr/bin/amtool"),
            logrotate: debian("logrotate", "logrotate", "usr/sbin/logrotate"),
            libraries,
        })
    }

    /// Why a program that an example starts is not here; none where it is, or is no program that may be missing.
    pub fn missing(&self, program: &str) -> Option<String> {
        match program {
            "kubectl" | "aws" | "helm" => self.venv.as_ref().err().cloned(),
            "jq" | "less" | "man" if process::find(program).is_none() => {
                Some(format!("there is no {program} here"))
            }
            _ => None,
        }
    }
}
