//! Files that are rotated, on disks that are full.

use std::{fs, sync::atomic::Ordering::Relaxed, thread, time::Duration};

use serde_json::Value;

use super::{Output, check_seq, emit, finish, lines, start, wait_for};

#[test]
fn a_rotated_file_is_followed_without_losing_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (
        dir.path().join("events.jsonl"),
        dir.path().join("events.jsonl.1"),
    );
    let (reporter, counts) = start(Output::file(&path).unwrap(), 64);
    emit(&reporter, "before");
    wait_for("the first line", || counts.written.load(Relaxed) == 1);
    fs::rename(&path, &old).unwrap();
    let mut sent = 1;
    wait_for("the new file", || {
        emit(&reporter, "after");
        path.exists()
    });
    sent += counts.emitted.load(Relaxed) - 1;
    let finished = finish(reporter, Duration::from_secs(1));
    let (first, second) = (lines(&old), lines(&path));
    assert!(finished.complete && !second.is_empty());
    let all: Vec<_> = first.into_iter().chain(second).collect();
    assert_eq!((all.len() as u64, check_seq(&all)), (sent + 1, 0));
}

#[test]
fn lines_wait_for_a_directory_that_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let path = logs.join("events.jsonl");
    let (reporter, counts) = start(Output::file(&path).unwrap(), 64);
    emit(&reporter, "gone with its directory");
    wait_for("the first line", || counts.written.load(Relaxed) == 1);
    fs::remove_dir_all(&logs).unwrap();
    thread::sleep(Duration::from_millis(550));
    emit(&reporter, "waits");
    wait_for("the failure shows", || reporter.failing().is_some());
    fs::create_dir(&logs).unwrap();
    wait_for("it heals", || reporter.failing().is_none());
    assert!(finish(reporter, Duration::from_secs(1)).complete);
    let lines = lines(&path);
    assert_eq!(lines[0]["message"], "waits");
    assert_eq!(
        (&lines[1]["component"], &lines[1]["state"]),
        (&"sink".into(), &"ok".into())
    );
    assert!(
        lines[1]["message"]
            .as_str()
            .unwrap()
            .contains("No such file"),
        "{}",
        lines[1]
    );
    assert_eq!(lines[2]["event"], "stopped");
}

/// On a real file system of 64 KiB, in a mount namespace of this thread's own.
#[test]
fn a_full_disk_loses_nothing_that_the_queue_can_hold_and_tears_no_line() {
    use rustix::{
        mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
        thread::{UnshareFlags, unshare_unsafe},
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a file system that is soon full takes root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // SAFETY: descriptors stay shared; only this thread's mounts, and those of the threads it starts, become its own.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .unwrap();
    mount(
        "tmpfs",
        dir.path(),
        "tmpfs",
        MountFlags::empty(),
        Some(c"size=64k"),
    )
    .unwrap();
    let (path, filler) = (dir.path().join("events.jsonl"), dir.path().join("filler"));
    fs::write(&filler, [0; 32 * 1024]).unwrap();

    let (reporter, _) = start(Output::file(&path).unwrap(), 1024);
    for n in 0..150 {
        emit(&reporter, &n.to_string());
    }
    wait_for("the disk is full", || reporter.failing().is_some());
    assert!(
        reporter.failing().unwrap().contains("No space left"),
        "{:?}",
        reporter.failing()
    );
    fs::remove_file(&filler).unwrap();
    wait_for("it heals", || {
        reporter.failing().is_none() && reporter.queued() == 0
    });
    let finished = finish(reporter, Duration::from_secs(1));
    let lines = lines(&path);
    assert_eq!(
        (finished.complete, finished.totals.lost, check_seq(&lines)),
        (true, 0, 0)
    );
    assert_eq!(
        lines
            .iter()
            .filter(|l| l["component"] == "sink" && l["state"] == "ok")
            .count(),
        1
    );
    assert_eq!(lines.len(), 152);
    unmount(dir.path(), UnmountFlags::DETACH).unwrap();
}

#[test]
fn a_torn_last_line_stays_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    fs::write(&path, "{\"torn\":").unwrap();
    let (reporter, _) = start(Output::file(&path).unwrap(), 16);
    assert!(finish(reporter, Duration::from_secs(1)).complete);
    let text = fs::read_to_string(&path).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"torn\":");
    assert_eq!(
        serde_json::from_str::<Value>(rest).unwrap()["event"],
        "stopped"
    );
}

#[test]
fn what_cannot_be_opened_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Output::file(&dir.path().join("no/such/events.jsonl")).unwrap_err();
    assert!(
        missing.help().contains("make the directory"),
        "{}",
        missing.help()
    );
    let directory = Output::file(dir.path()).unwrap_err();
    assert!(
        directory.to_string().ends_with("it is a directory"),
        "{directory}"
    );
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert!(
        Output::file(&fifo)
            .unwrap_err()
            .help()
            .contains("start its reader first")
    );
}
