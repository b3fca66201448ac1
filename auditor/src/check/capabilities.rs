//! Capabilities of this process: each that `run` needs, and for what.

use super::report::{Check, State};
use crate::run::capabilities::{Held, Need, needs, remedy};

pub fn look() -> Vec<Check> {
    match Held::read() {
        Some(held) => needs().map(|need| judge(need, held)).collect(),
        None => vec![Check::new(
            "capabilities",
            State::Degraded,
            "cannot be told: /proc/self/status is unreadable",
        )],
    }
}

fn judge(need: &Need, held: Held) -> Check {
    let check = format!("capability {}", need.name);
    let state = if need.required {
        State::Failed
    } else {
        State::Degraded
    };
    let purpose = need.purpose;
    if !held.is_initial {
        let detail =
            format!("held in a user namespace at most, where it is worth nothing: it {purpose}");
        return Check::new(&check, state, detail).remedy(
            "run it in the host's user namespace (in a pod: leave out hostUsers: false; with docker: --userns=host)",
        );
    }
    if held.has(need) {
        return Check::ok(&check, purpose);
    }
    if held.has_by_admin(need) {
        return Check::ok(&check, format!("{purpose} (by SYS_ADMIN)"));
    }
    Check::new(&check, state, format!("missing: it {purpose}")).remedy(remedy(need))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::capabilities::tests::{held, on_new_kernels};

    fn states(effective: u64) -> Vec<State> {
        let needs = on_new_kernels().into_iter();
        needs
            .map(|need| judge(need, held(effective, true)).state)
            .collect()
    }

    #[test]
    fn those_of_a_user_namespace_are_worth_nothing() {
        let needs = on_new_kernels();
        let bpf = judge(needs[0], held(u64::MAX, false));
        assert_eq!(bpf.state, State::Failed);
        assert!(bpf.remedy.unwrap().contains("hostUsers"));
        let ptrace = judge(needs[2], held(u64::MAX, false));
        assert_eq!(ptrace.state, State::Degraded);
    }

    #[test]
    fn what_is_missing_is_fatal_only_where_run_ends_without_it() {
        use State::{Degraded, Failed, Ok};
        assert_eq!(states(0xc0_0008_0004), [Ok; 4]);
        assert_eq!(states(0), [Failed, Failed, Degraded, Degraded]);
        assert_eq!(states(1 << 21), [Ok, Ok, Degraded, Degraded], "SYS_ADMIN");
    }
}
