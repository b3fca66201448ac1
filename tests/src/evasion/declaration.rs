//! A technique's declaration: who takes part, what they do, and the exact lines that each backend must write.
//!
//! Written from what was measured (`threats.md`, the row that `fact` names), never from a run of the auditor.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::sys::machine::Machine;

/// `tests/evasion/NAME.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Row of `threats.md`.
    pub fact: String,
    /// What happens, for a human.
    pub about: String,
    /// Namespaces, kernel, mounts, capabilities; for a human.
    pub needs: String,
    /// Where it must be skipped; everywhere else it must run.
    #[serde(default)]
    pub may_skip: Vec<Place>,
    /// What the thief's container has besides a runtime's default capabilities: `SYS_ADMIN`.
    #[serde(default)]
    pub caps: Vec<String>,
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

/// `aarch64` (as uname(2) calls it) or `<5.14` (kernels before that).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Place {
    Arch(String),
    Before(u32, u32),
}

impl TryFrom<String> for Place {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        if let Some(version) = text.strip_prefix('<') {
            let (major, minor) = version.split_once('.').context("`<` and no X.Y")?;
            return Ok(Self::Before(major.parse()?, minor.parse()?));
        }
        match text.as_str() {
            "aarch64" | "x86_64" => Ok(Self::Arch(text)),
            other => bail!("`{other}` is neither an architecture nor `<X.Y`"),
        }
    }
}

impl Place {
    fn is_here(&self, machine: &Machine) -> bool {
        match self {
            Self::Arch(arch) => *arch == machine.arch,
            Self::Before(major, minor) => machine.kernel < (*major, *minor),
        }
    }
}

/// What of a technique the auditor tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Seen,
    /// A line accuses the thief, and part of what he does is not told.
    Partly,
    NotSeen,
    /// There is nothing to be seen.
    Harmless,
}

impl Sight {
    /// As `lab evade` prints it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Partly => "partly",
            Self::NotSeen => "not-seen",
            Self::Harmless => "harmless",
        }
    }
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

/// A line that must come `count` times. What is left out is what it is of most lines ([`super::cast`]); only `owner`, `endpoint` and
/// `outcome` are then not looked at.
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
    /// Otherwise as the severities ask for.
    pub verdict: Option<String>,
    /// Otherwise nothing.
    pub undetermined: Option<String>,
    /// Otherwise nothing.
    pub exempted: Option<String>,
    /// Otherwise `cgroup`, or `conflict` where the line names no pod.
    pub attribution: Option<String>,
    /// Otherwise the one that the pod has.
    pub container: Option<String>,
    /// Otherwise that of the program which the pod's last step runs; `any`: the kernel may do it by a thread of its own (io_uring).
    pub comm: Option<String>,
    /// Otherwise that of the victim, where it or its token takes part.
    pub binding: Option<Binding>,
    #[serde(default = "one")]
    pub count: usize,
    /// As many as the technique counted instead (`counted: N` in what its last step printed).
    #[serde(default)]
    pub counted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// The token is of no kind that is bound to a role.
    None,
    /// Not looked at: what kind of token it is depends on what the auditor saw before.
    Any,
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

    /// Whether it must be skipped on this machine.
    pub fn is_skipped_on(&self, machine: &Machine) -> bool {
        self.may_skip.iter().any(|place| place.is_here(machine))
    }

    pub fn on(&self, backend: Backend) -> Option<&Expectation> {
        self.expect.iter().find(|e| e.on.contains(&backend))
    }
}

impl Line {
    /// The worst severity's, where no policy exempts and nothing is unknown.
    pub fn verdict(&self) -> &str {
        let is = |severity: &str| self.findings.iter().any(|f| f.ends_with(severity));
        match &self.verdict {
            Some(verdict) => verdict,
            None if is(":critical") || is(":high") => "violation",
            None if is(":medium") => "suspicious",
            None => "allowed",
        }
    }
}

impl Expectation {
    pub fn sight(&self) -> Sight {
        // The victim's own lines are no word of the thief.
        let accuses = |line: &Line| line.pod != Role::Victim && !line.findings.is_empty();
        match (&self.harmless, &self.not_seen) {
            (Some(_), _) => Sight::Harmless,
            (None, None) => Sight::Seen,
            (None, Some(_)) if self.lines.iter().any(accuses) => Sight::Partly,
            (None, Some(_)) => Sight::NotSeen,
        }
    }

    fn check(&self, has_victim: bool) -> Result<()> {
        let reasons = [&self.not_seen, &self.unattributed, &self.harmless];
        for reason in reasons.into_iter().flatten() {
            ensure!(reason.len() > 10, "`{reason}` is no reason");
        }
        ensure!(
            self.not_seen.is_none() || self.harmless.is_none(),
            "both `not_seen` and `harmless`"
        );
        ensure!(
            self.harmless.is_none() || self.lines.is_empty(),
            "lines of what is `harmless`"
        );
        let has_finding = self.lines.iter().any(|line| !line.findings.is_empty());
        ensure!(
            has_finding || self.sight() != Sight::Seen,
            "no line with a finding, and no reason for that"
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
        let line = "lines: [{event: listen, pod: thief, findings: [a:high]}]";
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
        let nobody = "lines: [{event: listen, pod: nobody, findings: [a:high]}]";
        assert!(parse(&format!("- {{{on}, {nobody}}}")).is_err());
        assert!(parse(&format!("- {{{on}, {nobody}, unattributed: softirq only}}")).is_ok());
        let silent = "lines: [{event: listen, pod: thief}]";
        assert!(parse(&format!("- {{{on}, {silent}}}")).is_err());
        assert!(parse(&format!("- {{{on}, harmless: nothing in it, {silent}}}")).is_err());
        let victim = "lines: [{event: listen, pod: victim, findings: [a:high]}]";
        assert!(
            parse(&format!("- {{{on}, {victim}}}")).is_err(),
            "no victim"
        );
    }
    #[test]
    fn the_word_tells_what_of_it_is_seen() {
        let sight = |backend: Backend, name: &str| {
            let technique = super::super::all().find(|t| t.name == name).unwrap();
            let declaration = technique.declaration().unwrap();
            declaration.on(backend).unwrap().sight().word()
        };
        assert_eq!(sight(Backend::Fentry, "open"), "seen");
        assert_eq!(sight(Backend::Fentry, "io-uring-msg-ring"), "partly");
        assert_eq!(sight(Backend::Syscall, "io-uring-msg-ring"), "not-seen");
        // The victim's own open accuses nobody.
        assert_eq!(sight(Backend::Syscall, "proc-mem"), "not-seen");
        assert_eq!(sight(Backend::Kprobe, "udp"), "harmless");
    }

    #[test]
    fn a_place_is_an_architecture_or_what_is_older() {
        let machine = |arch: &str, kernel| Machine {
            arch: arch.into(),
            kernel,
        };
        let skips = |place: &str, machine: &Machine| {
            Place::try_from(place.to_owned()).unwrap().is_here(machine)
        };
        assert!(skips("<5.14", &machine("x86_64", (5, 10))));
        assert!(!skips("<5.14", &machine("x86_64", (5, 14))));
        assert!(!skips("<5.14", &machine("x86_64", (6, 1))));
        assert!(skips("aarch64", &machine("aarch64", (6, 1))));
        assert!(!skips("aarch64", &machine("x86_64", (6, 1))));
        assert!(Place::try_from("5.14".to_owned()).is_err());
        assert!(Place::try_from("arm64".to_owned()).is_err());
    }
}
