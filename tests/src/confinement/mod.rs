//! What the DaemonSet's container may do, and becoming a process that may do no more: so is every auditor of the lab started,
//! as a runtime starts it from the manifest (`enter --confined`).

mod manifest;
mod mounts;
mod seccomp;

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

pub use self::manifest::Manifest;
use crate::sys::{capabilities as named, machine::Machine};

/// What a confined process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// By name: `BPF`.
    capabilities: Vec<String>,
    /// One was taken away: then what seccomp refuses is refused as a runtime does, instead of ending the process.
    is_complete: bool,
}

impl Confinement {
    /// As the manifest has it.
    ///
    /// # Errors
    /// Where the manifest asks for what this does not imitate.
    pub fn of_manifest() -> Result<Self> {
        let mut capabilities = Manifest::read()?.capabilities;
        // docs/least-privilege.md, "Kernels before 5.11": the limit on locked memory, which BPF maps count against there, is raised.
        if Machine::this().kernel < (5, 11) {
            capabilities.push("SYS_RESOURCE".to_owned());
        }
        Ok(Self {
            capabilities,
            is_complete: true,
        })
    }

    /// Without one of its capabilities.
    ///
    /// # Errors
    /// It is none of them.
    pub fn without(mut self, name: &str) -> Result<Self> {
        let at = self.capabilities.iter().position(|one| one == name);
        self.capabilities
            .remove(at.with_context(|| format!("{name} is not in the manifest"))?);
        self.is_complete = false;
        Ok(self)
    }

    pub fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    /// As the kernel counts them.
    fn set(&self) -> Result<CapabilitySet> {
        let bits = self.capabilities.iter().map(|name| named::named(name));
        let bits = bits.collect::<Result<Vec<_>>>()?;
        let all = bits.into_iter().fold(0, |set, one| set | one);
        Ok(CapabilitySet::from_bits_retain(all))
    }

    /// What is executed from now on is confined; `args` are its own, whose directories for state and output stay writable.
    ///
    /// # Errors
    /// Where this process may not do so itself.
    pub fn apply(&self, args: &[String]) -> Result<()> {
        mounts::read_only_but_for(&mounts::written_to(args))?;
        let set = self.set()?;
        named::bound_to(set.bits())?;
        clear_ambient_capability_set().context("clear the ambient capabilities")?;
        // As runc leaves them: what is inheritable would be given to programs with capabilities of their own. Those permitted now
        // are what `exec` gives to uid 0 of the bounding set, and what the rest of this function needs.
        let own = capabilities(None).context("read the own capabilities")?;
        let own = CapabilitySets {
            inheritable: CapabilitySet::empty(),
            ..own
        };
        set_capabilities(None, own).context("clear the inheritable capabilities")?;
        rustix::thread::set_thread_groups(&[]).context("clear the groups")?;
        set_no_new_privs(true).context("set no_new_privs")?;
        seccomp::apply(&self.capabilities, self.is_complete)
    }

    /// Holds a running process against it.
    ///
    /// # Errors
    /// It may do more, or less.
    pub fn verify(&self, pid: u32) -> Result<()> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        verify(&status, self.set()?.bits()).with_context(|| path)
    }
}

/// What `enter` takes to confine the program that is to follow, but for these of the manifest's capabilities.
pub fn options(without: &[String]) -> Vec<String> {
    let mut options = vec!["--confined".to_owned()];
    for name in without {
        options.extend(["--without".to_owned(), name.clone()]);
    }
    options.push("--".to_owned());
    options
}

/// A program, confined; its arguments are to follow.
pub fn command(helpers: &Path, program: &Path, without: &[String]) -> Command {
    let mut command = Command::new(helpers.join("enter"));
    command.args(options(without)).arg(program);
    command
}

/// proc_pid_status(5)
fn verify(status: &str, set: u64) -> Result<()> {
    let set = format!("{set:016x}");
    let none = format!("{:016x}", 0);
    for (field, expected) in [
        ("CapInh", none.as_str()),
        ("CapPrm", &set),
        ("CapEff", &set),
        ("CapBnd", &set),
        ("CapAmb", &none),
        ("NoNewPrivs", "1"),
        // SECCOMP_MODE_FILTER
        ("Seccomp", "2"),
        ("Uid", "0\t0\t0\t0"),
        ("Gid", "0\t0\t0\t0"),
        ("Groups", ""),
    ] {
        let found = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .with_context(|| format!("no {field}"))?;
        ensure!(
            found.trim() == expected,
            "{field} is {}, and the manifest's container has {expected}",
            found.trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tauditor\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \nCapInh:\t0000000000000000\n\
        CapPrm:\t000000c000080004\nCapEff:\t000000c000080004\nCapBnd:\t000000c000080004\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn a_process_with_more_or_less_is_told() {
        assert!(verify(STATUS, 0xc0_0008_0004).is_ok());
        assert!(verify(STATUS, 0xc0_0008_0000).is_err());
        for (has, other) in [
            ("CapBnd:\t000000c000080004", "CapBnd:\t000001ffffffffff"),
            ("CapInh:\t0000000000000000", "CapInh:\t000000c000080004"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Uid:\t0\t0", "Uid:\t0\t65534"),
            ("Groups:\t ", "Groups:\t0 "),
        ] {
            assert_ne!(STATUS.replace(has, other), STATUS);
            assert!(
                verify(&STATUS.replace(has, other), 0xc0_0008_0004).is_err(),
                "{other}"
            );
        }
    }

    #[test]
    fn one_less_is_one_of_the_manifests() {
        let whole = Confinement::of_manifest().unwrap();
        let set = |confinement: &Confinement| confinement.set().unwrap().bits().count_ones();
        let less = whole.clone().without("BPF").unwrap();
        assert_eq!(set(&whole), set(&less) + 1);
        assert!(whole.without("SYS_ADMIN").is_err());
    }
}
