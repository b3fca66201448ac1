//! A technique's declaration: who takes part, what they do, and the exact lines that each backend must write.
//!
//! Written from what was measured (`threats.md`, the row that `fact` names), never from a run of the auditor.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// `tests/evasion/NAME.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Row of `threats.md`.
    pub fact: String,
    /// What happens, for a human.
    pub about: String,
    /// Capabilities, namespaces, kernel, mounts.
    pub needs: String,
    /// What the thief's pod has.
    #[serde(default)]
    pub thief: Vec<Feature>,
    /// What the victim's pod has besides its token; no victim where absent.
    pub victim: Option<Vec<Feature>>,
    /// In this order; each ends before the next begins.
    pub run: Vec<Step>,
    /// Each backend once.
    pub expect: Vec<Expectation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// The kubelet's directory as a hostPath.
    HostKubelet,
    HostPid,
    /// A directory that all pods with this see, as a hostPath.
    Inbox,
    /// Its token once more, by `subPath`.
    SubPath,
    /// Its token's file is called otherwise.
    OtherFile,
}

/// `evade TECHNIQUE ARGS…` in a pod, unless another program is named. In arguments, `{token}` is the victim's token below the
/// thief's hostPath, `{subpath}` its bind mount there, `{own}` the token as its owner sees it, `{init}` the victim's first
/// process, `{holder}` the one that it left running (both in the host's numbers), `{victim}` the victim's address.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub by: Actor,
    pub program: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    Thief,
    Victim,
    /// The kubelet writes the victim a new token.
    Rotation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    Fentry,
    Kprobe,
    Syscall,
}

impl Backend {
    const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Syscall];

    /// As the `ready` line names it.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "fentry" => Ok(Self::Fentry),
            "kprobe" => Ok(Self::Kprobe),
            "syscall" => Ok(Self::Syscall),
            other => anyhow::bail!("nothing is declared for the backend {other}"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub on: Vec<Backend>,
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Why a part of it, or all, is not seen.
    pub not_seen: Option<String>,
    /// Why a line names no pod.
    pub unattributed: Option<String>,
    /// Why there is nothing to be seen.
    pub harmless: Option<String>,
}

/// A line that must come `count` times. What is left out is not looked at, but `relation`, which must be null.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub event: String,
    pub pod: Role,
    pub relation: Option<String>,
    /// Whose token.
    pub owner: Option<Role>,
    pub endpoint: Option<String>,
    pub outcome: Option<String>,
    /// `id:severity`
    #[serde(default)]
    pub findings: Vec<String>,
    #[serde(default = "one")]
    pub count: usize,
}

fn one() -> usize {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Thief,
    Victim,
    Nobody,
}

impl Declaration {
    pub fn parse(yaml: &str) -> Result<Self> {
        let this: Self = serde_saphyr::from_str(yaml).context("not a declaration")?;
        for backend in Backend::ALL {
            let times = this.expect.iter().flat_map(|e| &e.on);
            let times = times.filter(|on| **on == backend).count();
            ensure!(times == 1, "{backend:?} is declared {times} times");
        }
        for e in &this.expect {
            e.check(this.victim.is_some())
                .with_context(|| format!("{:?}", e.on))?;
        }
        ensure!(
            this.run.iter().any(|step| step.by == Actor::Thief),
            "the thief does nothing"
        );
        Ok(this)
    }

    pub fn on(&self, backend: Backend) -> Option<&Expectation> {
        self.expect.iter().find(|e| e.on.contains(&backend))
    }
}

impl Expectation {
    fn check(&self, has_victim: bool) -> Result<()> {
        let reasons = [&self.not_seen, &self.unattributed, &self.harmless];
        for reason in reasons.into_iter().flatten() {
            ensure!(reason.len() > 10, "`{reason}` is no reason");
        }
        let unseen = self.not_seen.is_some() || self.harmless.is_some();
        ensure!(
            !self.lines.is_empty() || unseen,
            "no line and no reason for that"
        );
        let nobody = self.lines.iter().any(|line| line.pod == Role::Nobody);
        ensure!(
            nobody == self.unattributed.is_some(),
            "a line without a pod needs `unattributed`, and only that"
        );
        for line in &self.lines {
            ensure!(line.count > 0, "{}: none is no line", line.event);
            let victim = Some(Role::Victim);
            ensure!(
                has_victim || (Some(line.pod) != victim && line.owner != victim),
                "{}: there is no victim",
                line.event
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "fact: F01\nabout: a\nneeds: nothing\nrun: [{by: thief}]\n";

    fn parse(expect: &str) -> Result<Declaration> {
        Declaration::parse(&format!("{HEAD}expect:\n{expect}"))
    }

    #[test]
    fn each_backend_is_declared_once() {
        let line = "lines: [{event: listen, pod: thief}]";
        assert!(parse(&format!("- {{on: [fentry, kprobe, syscall], {line}}}")).is_ok());
        assert!(parse(&format!("- {{on: [fentry, syscall], {line}}}")).is_err());
        assert!(
            parse(&format!(
                "- {{on: [fentry, fentry, kprobe, syscall], {line}}}"
            ))
            .is_err()
        );
    }

    #[test]
    fn what_is_not_seen_or_has_no_pod_says_why() {
        let on = "on: [fentry, kprobe, syscall]";
        assert!(parse(&format!("- {{{on}, lines: []}}")).is_err());
        assert!(parse(&format!("- {{{on}, not_seen: ''}}")).is_err());
        assert!(parse(&format!("- {{{on}, not_seen: no hook for that}}")).is_ok());
        let nobody = "lines: [{event: listen, pod: nobody}]";
        assert!(parse(&format!("- {{{on}, {nobody}}}")).is_err());
        assert!(parse(&format!("- {{{on}, {nobody}, unattributed: softirq only}}")).is_ok());
        let victim = "lines: [{event: listen, pod: victim}]";
        assert!(
            parse(&format!("- {{{on}, {victim}}}")).is_err(),
            "no victim"
        );
    }
}
