//! How a command ends: the one place that turns errors into messages and exit codes.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{ExitCode, Termination},
};

use super::UsageError;
use crate::plain::one_line;

/// Exit codes, a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// The environment does not allow it, or findings where finding is the command's purpose.
    Environment = 1,
    Usage = 2,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
    help: Option<String>,
}

impl Failure {
    /// Exit code 1.
    pub fn environment(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Environment,
            error: error.into(),
            help: None,
        }
    }

    /// Exit code 2.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
            help: None,
        }
    }

    /// One line: what the user should do.
    #[must_use]
    pub fn help(mut self, remedy: impl Into<String>) -> Self {
        self.help = Some(remedy.into());
        self
    }

    /// Prints it to stderr, once, and gives the exit code.
    pub fn report(&self) -> Exit {
        // A closed stderr leaves nobody to tell.
        let _ = std::io::stderr().write_all(self.message().as_bytes());
        self.exit
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What to do about it, where it is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// `auditor: <what>: <why>`, then `help: <remedy>` where there is one.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = format!("auditor: {}\n", one_line(&self.reason()));
        if let Some(help) = &self.help {
            let _ = writeln!(message, "help: {}", one_line(help));
        }
        message
    }

    /// `<what>: <why>`
    #[must_use]
    pub fn reason(&self) -> String {
        let mut message = self.error.to_string();
        let mut last = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            // Some errors repeat their source in their own words.
            if !last.ends_with(&cause) {
                let _ = write!(message, ": {cause}");
                last = cause;
            }
        }
        message
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        let help = error.help();
        Self::usage(error).help(help)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::environment(error)
    }
}
