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
        purpose: "reads PID 1's mounts, and executables and namespaces of other processes",
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
    match effective {
        Some(effective) => NEEDS.iter().map(|need| judge(need, effective)).collect(),
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

fn judge(need: &Need, effective: u64) -> Check {
    let has = |number: u32| effective & (1 << number) != 0;
    let check = format!("capability {}", need.name);
    // CAP_SYS_ADMIN stands for BPF and PERFMON (include/linux/capability.h, `bpf_capable`, `perfmon_capable`).
    if has(need.number) {
        return Check::ok(&check, need.purpose);
    }
    if need.required && has(SYS_ADMIN) {
        return Check::ok(&check, format!("{} (by SYS_ADMIN)", need.purpose));
    }
    let state = if need.required {
        State::Failed
    } else {
        State::Degraded
    };
    let name = need.name;
    Check::new(&check, state, format!("missing: it {}", need.purpose)).remedy(format!(
        "run as root with CAP_{name} (in a pod: securityContext.capabilities.add: [{name}])"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(effective: u64) -> Vec<State> {
        NEEDS
            .iter()
            .map(|need| judge(need, effective).state)
            .collect()
    }

    #[test]
    fn the_kernels_set_is_read() {
        let status = "Name:\tauditor\nCapEff:\t000000c000080004\nCapBnd:\t0\n";
        assert_eq!(effective(status), Some(0xc0_0008_0004));
        assert_eq!(effective("Name:\tauditor\n"), None);
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
