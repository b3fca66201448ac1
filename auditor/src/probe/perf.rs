//! Why perf_event_open(2), by which kprobes are attached, is refused to those with CAP_PERFMON.

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
/// Linux has nothing above it.
const STRICTEST: i32 = 2;

/// The kernel's reason against a kprobe, with that of its distribution where it has one.
pub fn explained(reason: String) -> String {
    let level = std::fs::read_to_string(PARANOID).ok();
    let level = level.and_then(|text| text.trim().parse().ok());
    explained_at(level, reason)
}

fn explained_at(level: Option<i32>, reason: String) -> String {
    match level {
        Some(level) if level > STRICTEST && reason.contains("perf_event_open") => format!(
            "{reason}: kernel.perf_event_paranoid is {level}, where the kernels of Debian and Ubuntu ask for CAP_SYS_ADMIN; with {STRICTEST} CAP_PERFMON is enough"
        ),
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distributions_own_level_is_named() {
        let refused = || "`perf_event_open` failed: Permission denied (os error 13)".to_owned();
        let told = explained_at(Some(3), refused());
        assert!(told.starts_with(&refused()) && told.contains("perf_event_paranoid is 3"));
        for level in [Some(2), Some(-1), None] {
            assert_eq!(explained_at(level, refused()), refused());
        }
        let other = "`bpf_link_create` failed".to_owned();
        assert_eq!(explained_at(Some(3), other.clone()), other);
    }
}
