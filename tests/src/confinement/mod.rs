//! What the DaemonSet's container may do, and becoming a process that may do no more: so is every auditor of the lab started,
//! as a runtime starts it from the manifest (`enter --confined`).

mod held;
mod manifest;
mod mounts;
mod seccomp;

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

pub use self::{
    held::{Rights, verify},
    manifest::Manifest,
};
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
        let rights = Rights {
            uid: 0,
            gid: 0,
            capabilities: self.set()?.bits(),
            no_new_privs: true,
        };
        verify(pid, &rights)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_less_is_one_of_the_manifests() {
        let whole = Confinement::of_manifest().unwrap();
        let set = |confinement: &Confinement| confinement.set().unwrap().bits().count_ones();
        let less = whole.clone().without("BPF").unwrap();
        assert_eq!(set(&whole), set(&less) + 1);
        assert!(whole.without("SYS_ADMIN").is_err());
    }
}
