//! A watch rule of the kernel's audit. Without auditd its records go to the kernel's log, of which the kernel limits the rate.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

const KEY: &str = "credential-lab";

/// The rule and the settings are taken back when dropped.
pub struct Audit {
    auditctl: PathBuf,
    rule: [String; 6],
    before: Status,
}

/// What `auditctl -s` says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Status {
    enabled: String,
    failure: String,
    backlog_wait_time: String,
}

impl Audit {
    /// Watches reads below a directory and the mounts below it, as they are now.
    ///
    /// # Errors
    /// In auditctl's words where the kernel has no audit, or refuses.
    pub fn start(auditctl: &Path, directory: &Path) -> Result<Self> {
        let before = parse(&control(auditctl, &["-s"])?)?;
        if before.enabled == "2" {
            bail!("its rules are locked until the next boot (enabled 2)");
        }
        let directory = directory.to_string_lossy().into_owned();
        let rule = ["-w", &directory, "-p", "r", "-k", KEY].map(str::to_owned);
        let this = Self {
            auditctl: auditctl.to_owned(),
            rule,
            before,
        };
        // Records that nobody fetches are dropped in silence, and hold nobody up.
        control(auditctl, &["-f", "0"])?;
        control(auditctl, &["--backlog_wait_time", "0"])?;
        control(auditctl, &this.rule)?;
        control(auditctl, &["-e", "1"])?;
        Ok(this)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let [_, rest @ ..] = &self.rule;
        let mut remove = vec!["-W".to_owned()];
        remove.extend(rest.iter().cloned());
        let Status {
            enabled,
            failure,
            backlog_wait_time,
        } = &self.before;
        let undo = [
            remove,
            vec!["-e".to_owned(), enabled.clone()],
            vec!["-f".to_owned(), failure.clone()],
            vec!["--backlog_wait_time".to_owned(), backlog_wait_time.clone()],
        ];
        for arguments in &undo {
            if let Err(error) = control(&self.auditctl, arguments) {
                eprintln!("audit stays as the measurement set it: {error:#}");
            }
        }
    }
}

fn parse(status: &str) -> Result<Status> {
    let field = |name: &str| {
        let mut fields = status.lines().filter_map(|line| line.split_once(' '));
        let found = fields.find(|(key, _)| *key == name);
        found.map(|(_, value)| value.trim().to_owned())
    };
    Ok(Status {
        enabled: field("enabled").context("auditctl -s tells no `enabled`")?,
        failure: field("failure").context("auditctl -s tells no `failure`")?,
        backlog_wait_time: field("backlog_wait_time")
            .context("auditctl -s tells no `backlog_wait_time`")?,
    })
}

fn control<S: AsRef<str>>(auditctl: &Path, arguments: &[S]) -> Result<String> {
    let output = Command::new(auditctl)
        .args(arguments.iter().map(AsRef::as_ref))
        .output()
        .with_context(|| format!("start {}", auditctl.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}",
            said.trim()
                .lines()
                .next_back()
                .unwrap_or("auditctl said nothing")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status() {
        let said =
            "enabled 0\nfailure 1\npid 0\nbacklog_wait_time 15000\nbacklog_wait_time_actual 0\n";
        let status = parse(said).unwrap();
        assert_eq!(
            (status.enabled.as_str(), status.failure.as_str()),
            ("0", "1")
        );
        assert_eq!(status.backlog_wait_time, "15000");
        assert!(parse("").is_err());
    }
}
