//! The flags of everything that starts an auditor.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lab::{auditor::Options, helpers_beside_self, measure::Subject};

#[derive(Args)]
pub struct AuditorArgs {
    /// The auditor's executable.
    #[arg(long, value_name = "PATH")]
    auditor: PathBuf,
    /// auto, fentry, kprobe or syscall.
    #[arg(long, env = "AUDITOR_BACKEND", default_value = "auto")]
    pub backend: String,
    /// Where the auditor writes its lines.
    #[arg(long, value_name = "PATH", default_value = "/tmp/credential-lab.jsonl")]
    output_file: PathBuf,
    /// How it writes them; what is OCSF is read back into JSON, and held against the same.
    #[arg(long, value_name = "json|ocsf", default_value = "json")]
    output: String,
    /// Of the DaemonSet's capabilities: start it without this one; repeatable. What fails then is what the capability is for.
    #[arg(long, value_name = "CAPABILITY")]
    without: Vec<String>,
}

impl AuditorArgs {
    pub fn subject(self) -> Result<Subject> {
        Ok(Subject {
            auditor: self.options()?,
            helpers: helpers_beside_self()?,
        })
    }

    pub fn options(self) -> Result<Options> {
        let program = std::path::absolute(self.auditor)?;
        Ok(Options {
            program,
            backend: self.backend,
            output: std::path::absolute(self.output_file)?,
            args: match self.output.as_str() {
                "json" => Vec::new(),
                other => vec!["--output".into(), other.into()],
            },
            env: Vec::new(),
            without: self.without,
        })
    }
}
