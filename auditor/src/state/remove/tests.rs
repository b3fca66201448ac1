use std::{
    fs::Permissions,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    sync::Arc,
};

use jiff::Timestamp;

use super::*;
use crate::state::StateDir;

#[test]
fn all_that_a_run_leaves_is_removed_and_nothing_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (mut state, _) = StateDir::open(&path, Arc::from("run")).unwrap();
    let now = Timestamp::from_second(1_795_000_000).unwrap();
    assert!(state.beat(now).is_none());
    assert!(state.keep_uses([].iter(), now).is_none());
    state.write_learned([].iter()).unwrap();
    let _socket = UnixListener::bind(path.join(status::SOCKET)).unwrap();
    fs::write(path.join("uses.json.new"), "{").unwrap();
    let names = fs::read_dir(&path).unwrap().count();
    assert!(names >= 5, "{names}");
    drop(state);
    assert_eq!(remove(&path).unwrap(), Removed::Now);
    assert!(!path.exists());
    assert!(dir.path().exists());
    assert_eq!(remove(&path).unwrap(), Removed::Before);
}

#[test]
fn a_running_auditor_keeps_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (state, _) = StateDir::open(&path, Arc::from("run")).unwrap();
    let error = remove(&path).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(matches!(&error, RemoveError::Held { holder, .. } if holder.contains(&pid)));
    assert!(path.join("lock").exists());
    drop(state);
    remove(&path).unwrap();
}

#[test]
fn what_is_not_ours_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(StateDir::open(&path, Arc::from("run")).unwrap());
    for name in ["passwd", "lock.new", "uses.json.new.new"] {
        let other = path.join(name);
        fs::write(&other, "").unwrap();
        let error = remove(&path).unwrap_err();
        assert!(error.to_string().ends_with(name), "{error}");
        assert!(path.join("lock").exists() && other.exists());
        fs::remove_file(other).unwrap();
    }
    // A link of that name is taken away, and what it points at is not.
    let outside = dir.path().join("outside");
    fs::write(&outside, "").unwrap();
    symlink(&outside, path.join("uses.json")).unwrap();
    fs::create_dir(path.join("heartbeat.json")).unwrap();
    assert!(matches!(remove(&path), Err(RemoveError::Foreign { .. })));
    assert!(path.join("uses.json").is_symlink());
    fs::remove_dir(path.join("heartbeat.json")).unwrap();
    remove(&path).unwrap();
    assert!(outside.exists() && !path.exists());
}

fn mode_of(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A directory that a run has left.
fn left(dir: &Path) -> PathBuf {
    let path = dir.join("state");
    drop(StateDir::open(&path, Arc::from("run")).unwrap());
    path
}

#[test]
fn a_link_is_an_error_wherever_it_points_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path());
    let to_it = dir.path().join("to-it");
    symlink(&path, &to_it).unwrap();
    let to_nothing = dir.path().join("to-nothing");
    symlink("/no/such/directory", &to_nothing).unwrap();
    for link in [&to_it, &to_nothing] {
        for named in [link.clone(), link.join(""), link.join(".")] {
            let error = remove(&named).unwrap_err();
            assert!(error.to_string().ends_with("a symbolic link"), "{error}");
        }
        assert!(link.is_symlink());
    }
    assert!(path.join(LOCK).exists());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = remove(&file).unwrap_err();
    assert!(error.to_string().ends_with("no directory"), "{error}");
    assert!(file.exists());
}

#[test]
fn what_others_may_write_or_own_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path());
    for mode in [0o720, 0o702, 0o1777] {
        mode_of(&path, mode);
        let error = remove(&path).unwrap_err();
        let told = format!("may be written by others (mode {mode:o})");
        assert!(error.to_string().ends_with(&told), "{error}");
        assert!(path.join(LOCK).exists());
    }
    // As the kubelet makes it.
    mode_of(&path, 0o755);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root gives a directory away");
        return;
    }
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let error = remove(&path).unwrap_err();
    assert!(error.to_string().ends_with("(uid 65534)"), "{error}");
    assert!(path.join(LOCK).exists());
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    remove(&path).unwrap();
}

#[test]
fn only_a_regular_file_is_a_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path());
    let at = path.join(LOCK);
    let refused = || {
        let error = remove(&path).unwrap_err();
        assert!(matches!(error, RemoveError::Foreign { .. }), "{error}");
        assert!(fs::symlink_metadata(&at).is_ok());
        // Nor where it became one after it was looked at: it does not hang, and follows nothing.
        hold(&path).unwrap_err();
    };
    fs::rename(&at, dir.path().join("a-lock")).unwrap();
    symlink(dir.path().join("a-lock"), &at).unwrap();
    refused();
    fs::remove_file(&at).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at.as_path(), fifo, 0o600.into(), 0).unwrap();
    refused();
    fs::remove_file(&at).unwrap();
    let _socket = UnixListener::bind(&at).unwrap();
    refused();
}

#[test]
fn without_an_auditors_lock_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    fs::create_dir(&path).unwrap();
    mode_of(&path, 0o755);
    let refused = |why: &str| {
        let error = remove(&path).unwrap_err();
        assert!(matches!(error, RemoveError::Unknown { .. }), "{error}");
        assert!(error.to_string().ends_with(why), "{error}");
        assert!(path.exists());
    };
    let at = path.join(LOCK);
    for text in ["someone's", "1 2", "-1", "+1", "99999999999", "\n1"] {
        fs::write(&at, text).unwrap();
        mode_of(&at, 0o600);
        refused("no auditor wrote its lock");
        assert_eq!(fs::read_to_string(&at).unwrap(), text);
    }
    // As touch(1) makes it.
    fs::write(&at, "").unwrap();
    mode_of(&at, 0o644);
    refused("no auditor made its lock");
    fs::remove_file(&at).unwrap();
    fs::write(path.join("uses.json"), "{}").unwrap();
    refused("no auditor's lock is in it");
    assert!(path.join("uses.json").exists());
}

#[test]
fn what_a_run_leaves_when_it_is_killed_at_any_moment_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    // It has made the directory; has made the lock; is about to write its pid, or has written a part of it.
    for lock in [None, Some(""), Some("12"), Some("12\n"), Some("\0\0\0")] {
        fs::create_dir(&path).unwrap();
        mode_of(&path, 0o755);
        if let Some(text) = lock {
            fs::write(path.join(LOCK), text).unwrap();
            mode_of(&path.join(LOCK), 0o600);
        }
        assert_eq!(remove(&path).unwrap(), Removed::Now, "{lock:?}");
        assert!(!path.exists());
    }
}

#[test]
fn a_removal_that_was_killed_before_its_end_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path());
    mode_of(&path, 0o755);
    clear(&path, &list(&path).unwrap()).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    assert_eq!(remove(&path).unwrap(), Removed::Now);
    assert!(!path.exists());
}

#[test]
fn an_auditor_that_starts_meanwhile_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (_state, _) = StateDir::open(&path, Arc::from("run")).unwrap();
    let error = remove_empty(&path).unwrap_err();
    assert!(matches!(error, RemoveError::Started { .. }), "{error}");
    assert_eq!(error.help(), "stop that auditor first");
    assert!(path.join(LOCK).exists());
}
