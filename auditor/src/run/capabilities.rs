//! The capabilities that `run` needs, each for what: those that the DaemonSet is given (manifests/helm/credential-auditor).

use super::{doubts::Doubt, setup};

pub struct Need {
    pub name: &'static str,
    /// include/uapi/linux/capability.h
    number: u32,
    pub purpose: &'static str,
    /// Without it `run` ends.
    pub required: bool,
    /// CAP_SYS_ADMIN stands for it (include/linux/capability.h, `bpf_capable`, `perfmon_capable`).
    by_admin: bool,
    /// Only kernels before this one ask for it.
    before: Option<(u32, u32)>,
}

const SYS_ADMIN: u32 = 21;
/// include/linux/proc_ns.h `PROC_USER_INIT_INO`
const INITIAL_USER_NS: &str = "user:[4026531837]";

const NEEDS: [Need; 5] = [
    Need {
        name: "BPF",
        number: 39,
        purpose: "loads the programs and their maps",
        required: true,
        by_admin: true,
        before: None,
    },
    Need {
        name: "PERFMON",
        number: 38,
        purpose: "attaches them, and reads kernel structures",
        required: true,
        by_admin: true,
        before: None,
    },
    Need {
        name: "SYS_PTRACE",
        number: 19,
        purpose: "reads executables and namespaces of other processes: without it the kubelet may be taken for a thief, and the agent for an impostor",
        required: false,
        by_admin: false,
        before: None,
    },
    Need {
        name: "DAC_READ_SEARCH",
        number: 2,
        purpose: "lists what processes of other users hold open (/proc/PID/fd): without it a token that one of them opened before the auditor started goes unseen",
        required: false,
        by_admin: false,
        before: None,
    },
    Need {
        name: "SYS_RESOURCE",
        number: 24,
        purpose: "raises the limit on locked memory, which BPF maps count against before Linux 5.11",
        required: false,
        by_admin: false,
        before: Some((5, 11)),
    },
];

/// What this process holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    effective: u64,
    /// Of the initial user namespace. Those of another one count for nothing here: bpf(2) asks for the initial one's
    /// (kernel/bpf/token.c `bpf_ns_capable`), and so does a look at processes that are not in it.
    pub is_initial: bool,
}

impl Held {
    /// None where `/proc` does not tell.
    pub fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let user_ns = std::fs::read_link("/proc/self/ns/user").ok();
        Some(Self {
            effective: effective(&status)?,
            is_initial: user_ns.is_none_or(|ns| ns.as_os_str() == INITIAL_USER_NS),
        })
    }

    pub fn has(self, need: &Need) -> bool {
        self.has_number(need.number)
    }

    pub fn has_by_admin(self, need: &Need) -> bool {
        need.by_admin && self.has_number(SYS_ADMIN)
    }

    fn has_number(self, number: u32) -> bool {
        self.is_initial && self.effective & (1 << number) != 0
    }
}

/// What this kernel asks for.
pub fn needs() -> impl Iterator<Item = &'static Need> {
    needs_on(version(&setup::kernel_release()))
}

fn needs_on(kernel: (u32, u32)) -> impl Iterator<Item = &'static Need> {
    NEEDS
        .iter()
        .filter(move |need| need.before.is_none_or(|before| kernel < before))
}

/// Of those without which it runs, and sees or knows less.
pub fn doubts() -> Vec<Doubt> {
    Held::read().map_or_else(Vec::new, |held| doubts_of(held, needs()))
}

fn doubts_of(held: Held, needs: impl Iterator<Item = &'static Need>) -> Vec<Doubt> {
    let missing = needs.filter(|need| !held.has(need) && !held.has_by_admin(need));
    missing
        .filter(|need| !need.required)
        .map(|need| Doubt::of_capability(need.name, need.purpose, remedy(need)))
        .collect()
}

pub fn remedy(need: &Need) -> String {
    let name = need.name;
    format!("run as root with CAP_{name} (in a pod: securityContext.capabilities.add: [{name}])")
}

fn effective(status: &str) -> Option<u64> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

/// Major and minor of a release, `6.1.0-49-cloud-amd64`; of one that names none, a new one's.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|number| number.parse().ok());
    number().zip(number()).unwrap_or((u32::MAX, 0))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const NEW: (u32, u32) = (6, 12);
    const OLD: (u32, u32) = (5, 10);

    pub fn held(effective: u64, is_initial: bool) -> Held {
        Held {
            effective,
            is_initial,
        }
    }

    pub fn on_new_kernels() -> Vec<&'static Need> {
        needs_on(NEW).collect()
    }

    #[test]
    fn the_kernels_set_is_read() {
        let status = "Name:\tauditor\nCapEff:\t000000c000080004\nCapBnd:\t0\n";
        assert_eq!(effective(status), Some(0xc0_0008_0004));
        assert_eq!(effective("Name:\tauditor\n"), None);
    }

    #[test]
    fn the_daemon_set_is_given_what_is_needed_and_no_more() {
        let values = include_str!("../../../manifests/helm/credential-auditor/values.yaml");
        let values: serde_json::Value = serde_saphyr::from_str(values).unwrap();
        let given = &values["auditor"]["securityContext"]["capabilities"];
        let needed: Vec<_> = needs_on(NEW).map(|need| need.name).collect();
        assert_eq!(given["add"], serde_json::json!(needed));
        assert_eq!(given["drop"], serde_json::json!(["ALL"]));
    }

    #[test]
    fn old_kernels_ask_for_one_more() {
        let names = |kernel| needs_on(kernel).map(|need| need.name).collect::<Vec<_>>();
        assert!(names(OLD).contains(&"SYS_RESOURCE"));
        assert!(!names((5, 11)).contains(&"SYS_RESOURCE"));
        assert_eq!(version("5.10.0-49-cloud-amd64"), OLD);
        assert_eq!(version("6.18.44-fc-v669"), (6, 18));
        assert!(version("?") > NEW);
    }

    #[test]
    fn only_what_it_runs_without_is_doubted() {
        let names = |effective| {
            let doubts = doubts_of(held(effective, true), needs_on(NEW));
            doubts
                .iter()
                .map(|doubt| {
                    let name = doubt.message.split(' ').next().unwrap();
                    name.to_owned()
                })
                .collect::<Vec<_>>()
        };
        assert!(names(0xc0_0008_0004).is_empty());
        assert_eq!(names(0xc0_0000_0004), ["CAP_SYS_PTRACE"]);
        assert_eq!(names(0), ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    }
}
