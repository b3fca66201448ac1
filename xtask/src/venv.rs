//! A virtual environment of Python in the target directory, for what only PyPI has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process::{self, capture};

pub struct Venv(PathBuf);

impl Venv {
    /// Made, or made anew where `requirements` has changed.
    ///
    /// # Errors
    /// Where there is no Python with `venv`, or PyPI does not give what is required.
    pub fn open(name: &str, requirements: &Path) -> Result<Self> {
        let directory = process::target_directory().join(format!("venv-{name}"));
        let this = Self(directory);
        let wanted =
            fs::read_to_string(requirements).with_context(|| requirements.display().to_string())?;
        let stamp = this.0.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(this);
        }
        process::step(
            &format!("installing what {name} needs from PyPI"),
            "once",
            || {
                let mut make = Command::new("python3");
                capture(make.args(["-m", "venv", "--clear"]).arg(&this.0)).context(
                    "no virtual environment can be made (Debian: apt-get install python3-venv)",
                )?;
                let mut pip = this.python();
                pip.args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ]);
                capture(pip.arg("--requirement").arg(requirements))?;
                fs::write(&stamp, &wanted).with_context(|| stamp.display().to_string())
            },
        )?;
        Ok(this)
    }

    pub fn python(&self) -> Command {
        Command::new(self.program("python"))
    }

    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// A program that a package brought.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }
}
