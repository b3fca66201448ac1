use std::collections::BTreeSet;

use super::*;

fn seen(in_use: &[(Hook, Backend)]) -> BTreeMap<&'static str, bool> {
    coverage(&in_use.iter().copied().collect())
}

fn every_hook(backend: Backend) -> Vec<(Hook, Backend)> {
    Hook::ALL.into_iter().map(|hook| (hook, backend)).collect()
}

#[test]
fn no_technique_is_named_twice() {
    let ids: BTreeSet<_> = TECHNIQUES.iter().map(|(id, _, _)| *id).collect();
    assert_eq!(ids.len(), TECHNIQUES.len());
    assert!(ids.len() >= 40);
}

#[test]
fn without_hooks_nothing_is_seen() {
    assert!(seen(&[]).values().all(|seen| !seen));
}

#[test]
fn with_every_hook_only_what_is_named_so_is_missed() {
    let missed: Vec<_> = seen(&every_hook(Backend::Fentry))
        .into_iter()
        .filter_map(|(id, seen)| (!seen).then_some(id))
        .collect();
    assert_eq!(missed, ["F36", "F38", "F55", "N25"]);
    assert_eq!(
        seen(&every_hook(Backend::Kprobe)),
        seen(&every_hook(Backend::Fentry))
    );
}

#[test]
fn the_exits_of_system_calls_show_less() {
    let full = seen(&every_hook(Backend::Fentry));
    let mut hooks = every_hook(Backend::Fentry);
    for (hook, backend) in &mut hooks {
        if *hook == Hook::FileOpen {
            *backend = Backend::Syscall;
        }
    }
    let syscall = seen(&hooks);
    let lost: Vec<_> = full
        .iter()
        .filter(|(id, seen)| **seen && !syscall[*id])
        .map(|(id, _)| *id)
        .collect();
    // threats.md 2.1: the rows where `security_file_open` sees the opener and `raw_tp sys_exit+fdtable` does not.
    assert_eq!(
        lost,
        [
            "F02m", "F10a", "F10b", "F10c", "F10d", "F10e", "F11", "F23a", "F23b", "F26", "F30"
        ]
    );
}

#[test]
fn each_optional_hook_is_worth_something() {
    let full = seen(&every_hook(Backend::Kprobe));
    for hook in Hook::ALL.into_iter().filter(|hook| !hook.is_required()) {
        let mut hooks = every_hook(Backend::Kprobe);
        hooks.retain(|(other, _)| *other != hook);
        assert_ne!(seen(&hooks), full, "{hook:?}");
    }
}

#[test]
fn raw_sockets_to_imds_are_seen_by_their_making_only() {
    let mut hooks = every_hook(Backend::Kprobe);
    hooks.retain(|(hook, _)| *hook != Hook::SocketCreate);
    let seen = seen(&hooks);
    assert!(seen["N11"] && !seen["N11b"]);
}
