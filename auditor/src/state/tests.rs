use std::os::unix::fs::PermissionsExt;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn open(path: &Path, run_id: &str) -> Result<(StateDir, Option<PreviousRun>), StateError> {
    StateDir::open(path, Arc::from(run_id))
}

#[test]
fn a_killed_run_leaves_its_last_heartbeat() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/on/the/way");
    let (mut state, previous) = open(&path, "first").unwrap();
    assert_eq!(previous, None);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert!(state.beat(at(0)).is_none() && state.beat(at(1)).is_none());
    drop(state);

    let (_state, previous) = open(&path, "second").unwrap();
    let previous = previous.unwrap();
    assert_eq!(
        previous,
        PreviousRun {
            run_id: "first".to_owned(),
            last_heartbeat: at(1),
            clean: false
        }
    );
    let gap = previous.restart_gap(at(60)).unwrap();
    assert_eq!(
        (gap.component.as_str(), gap.state.as_str()),
        ("auditor", "restart-gap")
    );
    assert!(
        gap.message
            .contains(&format!("from {} to {}", at(1), at(60))),
        "{}",
        gap.message
    );
}

#[test]
fn a_run_that_stopped_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (mut state, _) = open(&dir.path().join("state"), "first").unwrap();
    state.beat(at(0));
    state.close(at(5)).unwrap();
    let (_, previous) = open(&dir.path().join("state"), "second").unwrap();
    let previous = previous.unwrap();
    assert!(previous.clean);
    assert_eq!(previous.last_heartbeat, at(5));
    assert!(previous.restart_gap(at(9)).is_none());
}

#[test]
fn a_second_auditor_is_told_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (first, _) = open(&path, "first").unwrap();
    let error = open(&path, "second").unwrap_err();
    assert!(matches!(error, StateError::Held { .. }));
    assert!(
        error
            .to_string()
            .ends_with(&format!("(pid {})", std::process::id())),
        "{error}"
    );
    drop(first);
    open(&path, "third").unwrap();
}

#[test]
fn a_spoilt_heartbeat_still_tells_when() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(open(&path, "first").unwrap());
    fs::write(path.join("heartbeat.json"), "{\"run_id\":").unwrap();
    let (_state, previous) = open(&path, "second").unwrap();
    let previous = previous.unwrap();
    assert_eq!(
        (previous.run_id.as_str(), previous.clean),
        ("unknown", false)
    );
    assert!(
        Timestamp::now()
            .duration_since(previous.last_heartbeat)
            .as_secs()
            < 60
    );
}

#[test]
fn heartbeats_that_fail_are_told_once_and_again_when_they_work() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = open(&path, "first").unwrap();
    assert!(state.beat(at(0)).is_none());
    // What a full disk does to the write, without one: root is not stopped by permissions.
    fs::create_dir(path.join("heartbeat.json.new")).unwrap();
    assert_eq!(state.beat(at(1)).unwrap().state, "degraded");
    assert!(state.beat(at(2)).is_none());
    fs::remove_dir(path.join("heartbeat.json.new")).unwrap();
    let healed = state.beat(at(3)).unwrap();
    assert_eq!(healed.state, "ok");
    assert!(
        healed.message.ends_with(&at(1).to_string()),
        "{}",
        healed.message
    );
    assert!(state.beat(at(4)).is_none());
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let error = open(dir.path(), "first").unwrap_err();
    assert!(
        error.to_string().contains("mode 1777") && error.help().contains("chmod go-w"),
        "{error}"
    );
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        open(&file, "first").unwrap_err(),
        StateError::Io { .. }
    ));
}

#[test]
fn a_directory_of_another_users_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: not root, which it takes to give a directory away");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    DirBuilder::new().mode(0o700).create(&path).unwrap();
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let error = open(&path, "first").unwrap_err();
    assert!(
        error.to_string().ends_with("(uid 65534)") && error.help().contains("chown 0 "),
        "{error}: {}",
        error.help()
    );
    assert_eq!(
        fs::read_dir(&path).unwrap().count(),
        0,
        "nothing is made there"
    );
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    open(&path, "first").unwrap();
}

fn usage(name: &str) -> Use {
    Use {
        key: crate::audit::UseKey {
            namespace: "shop".into(),
            service_account: name.into(),
            kind: crate::event::BindingKind::PodIdentity,
        },
        binding: "a-1".into(),
        last_used: Some(at(0)),
        watched: jiff::SignedDuration::from_hours(1),
        seen: at(1),
    }
}

fn known(state: &StateDir) -> Vec<Use> {
    let (uses, trouble) = state.uses();
    assert!(trouble.is_none());
    uses
}

#[test]
fn uses_are_kept_once_a_minute_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = open(&path, "first").unwrap();
    assert!(known(&state).is_empty());
    let uses = [usage("web"), usage("api")];
    for second in [0, 1, 59] {
        assert!(state.keep_uses(uses.iter(), at(second)).is_none());
        assert!(state.uses().0.is_empty());
    }
    assert!(state.keep_uses(uses.iter(), at(60)).is_none());
    drop(state);
    let (state, _) = open(&path, "second").unwrap();
    assert_eq!(known(&state), uses);
}

#[test]
fn uses_that_cannot_be_read_are_dropped_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (state, _) = open(&path, "first").unwrap();
    let file = path.join("uses.json");
    for (text, part) in [
        ("{\"version\":1,\"bindings\":[", "EOF"),
        ("{\"version\":2,\"bindings\":[]}", "version 2 is not known"),
        ("[]", "cannot be read"),
        ("\u{0}", "cannot be read"),
    ] {
        fs::write(&file, text).unwrap();
        let (uses, health) = state.uses();
        assert!(uses.is_empty());
        let message = health.unwrap().message;
        assert!(message.contains(part), "{message}");
    }
    fs::write(&file, vec![b' '; 17 << 20]).unwrap();
    let message = state.uses().1.unwrap().message;
    assert!(message.contains("larger than"), "{message}");
    state.write_uses([usage("web")].iter()).unwrap();
    assert_eq!(known(&state), [usage("web")]);
}

#[test]
fn uses_that_cannot_be_kept_are_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = open(&path, "first").unwrap();
    fs::create_dir(path.join("uses.json.new")).unwrap();
    assert!(state.keep_uses([].into_iter(), at(0)).is_none());
    let told = state.keep_uses([].into_iter(), at(60)).unwrap();
    assert_eq!(told.state, "degraded");
    assert!(state.keep_uses([].into_iter(), at(120)).is_none());
}

fn learned(account: &str) -> Learned {
    Learned {
        namespace: "shop".into(),
        service_account: account.into(),
        since: at(0),
        seen: at(1),
        full: false,
        executables: vec![crate::audit::LearnedExecutable {
            path: "/app".into(),
            used: crate::audit::CredentialUse::Open,
            first_seen: at(0),
            pod: "web-1".into(),
        }],
    }
}

#[test]
fn what_is_learned_is_kept_once_a_minute_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = open(&path, "first").unwrap();
    assert!(matches!(state.learned(), (learned, None) if learned.is_empty()));
    let kept = [learned("web"), learned("api")];
    assert!(state.keep_learned(1, || kept.iter(), at(0)).is_none());
    assert!(state.learned().0.is_empty());
    assert!(state.keep_learned(1, || kept.iter(), at(60)).is_none());
    drop(state);
    let (state, _) = open(&path, "second").unwrap();
    assert!(matches!(state.learned(), (learned, None) if learned == kept));
    assert_eq!(read_learned(&path).unwrap(), kept);
    assert!(state.uses().0.is_empty(), "a file of its own");
}

#[test]
fn what_did_not_change_is_neither_collected_nor_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = open(&path, "first").unwrap();
    let kept = [learned("web")];
    let asked = std::cell::Cell::new(0);
    let mut keep = |revision, second| {
        let learned = || {
            asked.set(asked.get() + 1);
            kept.iter()
        };
        assert!(state.keep_learned(revision, learned, at(second)).is_none());
        asked.get()
    };
    for (revision, second, expected) in [
        (7, 0, 0),
        (7, 59, 0),
        (7, 60, 1),
        (7, 120, 1),
        (8, 150, 1),
        (8, 180, 2),
    ] {
        assert_eq!(keep(revision, second), expected, "{second}");
    }
    // What failed is written as soon as it can be.
    fs::create_dir(path.join("executables.json.new")).unwrap();
    assert!(state.keep_learned(9, || kept.iter(), at(240)).is_some());
    assert!(state.keep_learned(9, || kept.iter(), at(300)).is_none());
    fs::remove_dir(path.join("executables.json.new")).unwrap();
    fs::remove_file(path.join(LEARNED_FILE)).unwrap();
    assert!(state.keep_learned(9, || kept.iter(), at(360)).is_none());
    assert_eq!(read_learned(&path).unwrap(), kept);
}

/// As many ServiceAccounts as are remembered, with as many programs, whose names take as much room as names can: one that has
/// learned little is among them.
#[test]
fn what_is_too_much_for_its_file_leaves_out_who_has_the_most() {
    let (namespace, long): (Arc<str>, Arc<str>) = ("n".repeat(63).into(), "p".repeat(253).into());
    let executable = |n: usize| crate::audit::LearnedExecutable {
        path: format!("/{}{n:02}", "\"".repeat(381)).into(),
        used: crate::audit::CredentialUse::Connect,
        first_seen: "2026-11-22T12:00:00.123456789Z".parse().unwrap(),
        pod: long.clone(),
    };
    let executables: Vec<_> = (0..2 * crate::audit::EXECUTABLES).map(executable).collect();
    let mut all: Vec<Learned> = (0..crate::audit::ACCOUNTS - 1)
        .map(|n| Learned {
            namespace: namespace.clone(),
            service_account: format!("{}{n:03}", "s".repeat(250)).into(),
            full: true,
            executables: executables.clone(),
            ..learned("")
        })
        .collect();
    all.insert(300, learned("web"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = open(&path, "first").unwrap();
    assert!(state.keep_learned(1, || all.iter(), at(0)).is_none());
    let told = state.keep_learned(1, || all.iter(), at(60)).unwrap();
    assert!(told.message.contains("are left out"), "{}", told.message);
    assert!(
        state.keep_learned(2, || all.iter(), at(120)).is_none(),
        "said once"
    );
    let size = fs::metadata(path.join(LEARNED_FILE)).unwrap().len();
    assert!((12 << 20..=16 << 20).contains(&size), "{size}");
    let kept = read_learned(&path).unwrap();
    assert!(
        kept.len() > 100 && kept.contains(&learned("web")),
        "{}",
        kept.len()
    );
    assert!(
        told.message
            .contains(&format!(": {} ServiceAccounts", all.len() - kept.len()))
    );
    state.write_learned(all.iter()).unwrap();
    assert_eq!(read_learned(&path).unwrap().len(), kept.len());
}

#[test]
fn a_torn_baseline_is_dropped_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (state, _) = open(&path, "first").unwrap();
    state.write_learned([learned("web")].iter()).unwrap();
    let whole = fs::read(path.join(LEARNED_FILE)).unwrap();
    for (text, part) in [
        (whole[..whole.len() / 2].to_vec(), "EOF"),
        (b"{\"version\":2}".to_vec(), "version 2 is not known"),
        (b"{\"version\":1}".to_vec(), "service_accounts"),
        (Vec::new(), "EOF"),
    ] {
        fs::write(path.join(LEARNED_FILE), text).unwrap();
        let (learned, health) = state.learned();
        assert!(learned.is_empty());
        let health = health.unwrap();
        assert_eq!(health.state, "degraded");
        for part in [part, "learned anew"] {
            assert!(health.message.contains(part), "{}", health.message);
        }
    }
    fs::write(path.join(LEARNED_FILE), whole).unwrap();
    assert_eq!(state.learned().0, [learned("web")]);
}
