//! Capabilities of this process: each that `run` needs, and for what.

use super::report::{Check, State};

struct Need {
    name: &'static str,
    /// include/uapi/linux/capability.h
    number: u32,
    purpose: &'static str,
    /// Without it `run` ends.
    required: bool,
}

const SYS_ADMIN: u32 = 21;
/// include/linux/proc_ns.h `PROC_USER_INIT_INO`
const INITIAL_USER_NS: &str = "user:[4026531837]";

const NEEDS: [Need; 4] = [
    Need {
        name: "BPF",
        number: 39,
        purpose: "loads the programs and their maps",
        required: true,
    },
    Need {
        name: "PERFMON",
        number: 38,
        purpose: "attaches them, and reads kernel structures",
        required: true,
    },
    Need {
        name: "SYS_PTRACE",
        number: 19,
        purpose: "reads executables and namespaces of other processes: without it the kubelet may be taken for a thief, and the agent for an impostor",
        required: false,
    },
    Need {
        name: "DAC_READ_SEARCH",
        number: 2,
        purpose: "looks into the kubelet's directory and /proc where this user has no right of its own",
        required: false,
    },
];

pub fn look() -> Vec<Check> {
    let effective = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective(&status));
    let user_ns = std::fs::read_link("/proc/self/ns/user").ok();
    let is_initial = user_ns.is_none_or(|ns| ns.as_os_str() == INITIAL_USER_NS);
    match effective {
        Some(effective) => NEEDS
            .iter()
            .map(|need| judge(need, effective, is_initial))
            .collect(),
        None => vec![Check::new(
            "capabilities",
            State::Degraded,
            "cannot be told: /proc/self/status is unreadable",
        )],
    }
}

fn effective(status: &str) -> Option<u64> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

/// `is_initial`: in the initial user namespace. Those of another one count for nothing here: bpf(2) asks for the initial one's
/// (kernel/bpf/token.c `bpf_ns_capable`), and so does a look at processes that are not in it.
fn judge(need: &Need, effective: u64, is_initial: bool) -> Check {
    let has = |number: u32| effective & (1 << number) != 0;
    let check = format!("capability {}", need.name);
    let state = if need.required {
        State::Failed
    } else {
        State::Degraded
    };
    let purpose = need.purpose;
    if !is_initial {
        let detail =
            format!("held in a user namespace at most, where it is worth nothing: it {purpose}");
        return Check::new(&check, state, detail).remedy(
            "run it in the host's user namespace (in a pod: leave out hostUsers: false; with docker: --userns=host)",
        );
    }
    // CAP_SYS_ADMIN stands for BPF and PERFMON (include/linux/capability.h, `bpf_capable`, `perfmon_capable`).
    if has(need.number) {
        return Check::ok(&check, purpose);
    }
    if need.required && has(SYS_ADMIN) {
        return Check::ok(&check, format!("{purpose} (by SYS_ADMIN)"));
    }
    let name = need.name;
    Check::new(&check, state, format!("missing: it {purpose}")).remedy(format!(
        "run as root with CAP_{name} (in a pod: securityContext.capabilities.add: [{name}])"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(effective: u64) -> Vec<State> {
        NEEDS
            .iter()
            .map(|need| judge(need, effective, true).state)
            .collect()
    }

    #[test]
    fn the_kernels_set_is_read() {
        let status = "Name:\tauditor\nCapEff:\t000000c000080004\nCapBnd:\t0\n";
        assert_eq!(effective(status), Some(0xc0_0008_0004));
        assert_eq!(effective("Name:\tauditor\n"), None);
    }

    /// As the DaemonSet has them: one that only one of them knows would be missing on each node, or granted for nothing.
    #[test]
    fn the_manifests_add_what_is_needed_and_no_more() {
        let workloads = include_str!("../../../manifests/kustomize/base/workloads.yaml");
        let daemon_set = workloads.split("\n---\n").next().unwrap();
        let daemon_set: serde_json::Value = serde_saphyr::from_str(daemon_set).unwrap();
        let container = &daemon_set["spec"]["template"]["spec"]["containers"][0];
        let capabilities = &container["securityContext"]["capabilities"];
        assert_eq!(capabilities["drop"], serde_json::json!(["ALL"]));
        let added = capabilities["add"].as_array().unwrap().iter();
        let added: Vec<_> = added.map(|name| name.as_str().unwrap()).collect();
        assert_eq!(added, NEEDS.map(|need| need.name));
    }

    #[test]
    fn those_of_a_user_namespace_are_worth_nothing() {
        let bpf = judge(&NEEDS[0], u64::MAX, false);
        assert_eq!(bpf.state, State::Failed);
        assert!(bpf.remedy.unwrap().contains("hostUsers"));
        assert_eq!(judge(&NEEDS[2], u64::MAX, false).state, State::Degraded);
    }

    #[test]
    fn what_is_missing_is_fatal_only_where_run_ends_without_it() {
        assert_eq!(states(0xc0_0008_0004), [State::Ok; 4]);
        assert_eq!(
            states(0),
            [
                State::Failed,
                State::Failed,
                State::Degraded,
                State::Degraded
            ]
        );
        assert_eq!(
            states(1 << SYS_ADMIN),
            [State::Ok, State::Ok, State::Degraded, State::Degraded]
        );
    }
}
