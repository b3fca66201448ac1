//! What a check found.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{cli::Failure, run::doubts::Doubt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ok,
    /// Told for its own sake: nothing depends on it.
    Info,
    /// `run` works, and sees or knows less.
    Degraded,
    /// `run` does not work, or would accuse the innocent.
    Failed,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `cgroup-v2`.
    pub check: String,
    pub state: State,
    pub detail: String,
    /// What to do; null where nothing is to be done.
    pub remedy: Option<String>,
}

impl Check {
    pub fn new(check: &str, state: State, detail: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            state,
            detail: detail.into(),
            remedy: None,
        }
    }

    pub fn ok(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, State::Ok, detail)
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What was found well, and is doubted: `doubt` is of this row.
    #[must_use]
    pub fn doubted(self, doubt: Option<Doubt>) -> Self {
        let Some(doubt) = doubt else { return self };
        if matches!(self.state, State::Failed | State::Degraded) {
            return self;
        }
        let state = if doubt.is_grave {
            State::Failed
        } else {
            State::Degraded
        };
        Self::new(doubt.row, state, doubt.message).remedy(doubt.remedy)
    }

    /// Why `run` would end.
    pub fn failed(check: &str, failure: &Failure) -> Self {
        let failed = Self::new(check, State::Failed, failure.reason());
        match failure.remedy() {
            Some(remedy) => failed.remedy(remedy),
            None => failed,
        }
    }
}

/// A way to watch a hook, tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayCheck {
    /// `fentry`, `kprobe`, `syscall`, `tracepoint`.
    pub backend: String,
    /// It loads, attaches, and its canary, if it has one, fires.
    pub works: bool,
    /// Its canary fired.
    pub proven: bool,
    /// Why it does not work, in the kernel's words.
    pub reason: Option<String>,
    /// What it does not see.
    pub misses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookCheck {
    /// Without it `run` ends.
    pub required: bool,
    /// What `run` would use with these flags; null: nothing.
    pub backend: Option<String>,
    /// Best first.
    pub ways: Vec<WayCheck>,
}

/// All that was found. As JSON it is a contract, in the way that the events are: fields may be added.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    pub schema: &'static str,
    pub version: &'static str,
    pub kernel: String,
    /// `run` with these flags would work.
    pub ok: bool,
    pub checks: Vec<Check>,
    /// By hook; empty where no program can be loaded.
    pub hooks: BTreeMap<String, HookCheck>,
    /// As in `ready`: technique of the evasion corpus to whether it would be seen.
    pub coverage: BTreeMap<&'static str, bool>,
}

impl CheckReport {
    pub fn new(
        kernel: String,
        checks: Vec<Check>,
        hooks: BTreeMap<String, HookCheck>,
        coverage: BTreeMap<&'static str, bool>,
    ) -> Self {
        Self {
            schema: "auditor-check/v1",
            version: env!("CARGO_PKG_VERSION"),
            kernel,
            ok: !checks.iter().any(|check| check.state == State::Failed),
            checks,
            hooks,
            coverage,
        }
    }
}
