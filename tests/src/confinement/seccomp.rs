//! The seccomp profile `RuntimeDefault`: containerd's, by what it allows.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Operator,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule,
};
use serde::Deserialize;
use syscalls::Sysno;

const PROFILE: &str = include_str!("runtime_default.json");

/// What containerd's default profile allows by name; see the file's `about`.
#[derive(Deserialize)]
struct Profile {
    allow: Vec<String>,
    architectures: BTreeMap<String, Vec<String>>,
    capabilities: BTreeMap<String, Vec<String>>,
}

/// From now on only what the profile allows is done. `kills`: anything else ends the process (SIGSYS), so that it does not go
/// unnoticed, where a runtime answers EPERM.
pub fn apply(capabilities: &[String], kills: bool) -> Result<()> {
    // It is the last filter whose number is returned where two refuse, and the first must let seccomp(2) pass.
    for filter in [without_clone3()?, allowed(capabilities, kills)?] {
        seccompiler::apply_filter(&filter).context("install the seccomp filter")?;
    }
    Ok(())
}

/// ENOSYS, not EPERM: then the C library falls back to clone(2).
fn without_clone3() -> Result<BpfProgram> {
    program(
        [(Sysno::clone3.id().into(), Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
    )
}

fn allowed(capabilities: &[String], kills: bool) -> Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<Rule>> = numbers(capabilities)?
        .into_iter()
        .map(|number| (number, Vec::new()))
        .collect();
    let without_admin = !capabilities.iter().any(|name| name == "SYS_ADMIN");
    if without_admin {
        rules.insert(Sysno::clone.id().into(), no_namespaces()?);
        // The other filter's.
        rules.insert(Sysno::clone3.id().into(), Vec::new());
    }
    rules.insert(Sysno::personality.id().into(), personalities()?);
    rules.insert(Sysno::socket.id().into(), families()?);
    let otherwise = if kills {
        SeccompAction::KillProcess
    } else {
        SeccompAction::Errno(libc::EPERM.cast_unsigned())
    };
    program(rules, otherwise, SeccompAction::Allow)
}

/// Of the calls that this architecture has.
fn numbers(capabilities: &[String]) -> Result<Vec<i64>> {
    let Profile {
        allow,
        architectures,
        capabilities: by_capability,
    } = serde_json::from_str(PROFILE).context("runtime_default.json")?;
    let here = architectures
        .get(std::env::consts::ARCH)
        .context("the profile has nothing for this architecture")?;
    let granted = capabilities
        .iter()
        .filter_map(|name| by_capability.get(name))
        .flatten();
    let names = allow.iter().chain(here).chain(granted);
    Ok(names
        .filter_map(|name| name.parse::<Sysno>().ok())
        .map(|call| call.id().into())
        .collect())
}

fn no_namespaces() -> Result<Vec<Rule>> {
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP;
    let mask = Operator::MaskedEq(u64::from(namespaces.cast_unsigned()));
    Ok(vec![rule(mask, 0)?])
}

fn personalities() -> Result<Vec<Rule>> {
    // PER_LINUX, PER_LINUX32, with UNAME26, and the question what it is.
    [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff]
        .into_iter()
        .map(|allowed| rule(Operator::Eq, allowed))
        .collect()
}

/// All but AF_ALG (from 2.x on) and AF_VSOCK.
fn families() -> Result<Vec<Rule>> {
    let of = |family: i32| u64::from(family.cast_unsigned());
    Ok(vec![
        rule(Operator::Lt, of(libc::AF_ALG))?,
        rule(Operator::Eq, of(libc::AF_ALG + 1))?,
        rule(Operator::Gt, of(libc::AF_VSOCK))?,
    ])
}

/// Of the first argument.
fn rule(operator: Operator, value: u64) -> Result<Rule> {
    let condition = Condition::new(0, Length::Dword, operator, value)?;
    Ok(Rule::new(vec![condition])?)
}

fn program(
    rules: BTreeMap<i64, Vec<Rule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_brings_its_own_calls() {
        let names = |capabilities: &[&str]| {
            let capabilities: Vec<_> = capabilities.iter().map(|name| (*name).to_owned()).collect();
            numbers(&capabilities).unwrap()
        };
        let has = |numbers: &[i64], call: Sysno| numbers.contains(&call.id().into());
        let none = names(&[]);
        assert!(none.len() > 250, "{}", none.len());
        for call in [Sysno::read, Sysno::openat, Sysno::seccomp] {
            assert!(has(&none, call), "{call}");
        }
        for call in [
            Sysno::bpf,
            Sysno::perf_event_open,
            Sysno::mount,
            Sysno::unshare,
            Sysno::io_uring_setup,
        ] {
            assert!(!has(&none, call), "{call}");
        }
        let granted = names(&["BPF", "PERFMON"]);
        assert!(has(&granted, Sysno::bpf) && has(&granted, Sysno::perf_event_open));
        assert!(!has(&granted, Sysno::mount));
    }

    #[test]
    fn filters_are_short_enough_for_the_kernel() {
        let filter = allowed(&["BPF".to_owned()], true).unwrap();
        // BPF_MAXINSNS
        assert!(filter.len() < 4096, "{}", filter.len());
        without_clone3().unwrap();
    }
}
