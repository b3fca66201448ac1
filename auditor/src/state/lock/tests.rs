use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use jiff::Timestamp;

use super::*;
use crate::state::{RemoveError, Removed, StateDir, StateError, remove};

/// Another process that holds a file's lock, by flock(1) of util-linux, until it is told to end.
struct Other {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(at: &Path) -> Self {
        let mut command = Command::new("flock");
        command.args(["--nonblock", "--conflict-exit-code", "9"]);
        command
            .arg(at)
            .args(["sh", "-c", "echo held; read _; echo"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut this = Self {
            child,
            input,
            output,
        };
        assert_eq!(this.line(), "held\n");
        this
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn end(mut self) {
        self.input.write_all(b"\n").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

fn state(path: &Path) -> Result<StateDir, StateError> {
    StateDir::open(path, Arc::from("run")).map(|(state, _)| state)
}

#[test]
fn another_processs_lock_is_seen_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(state(&path).unwrap());
    let other = Other::start(&path.join(NAME));
    assert!(matches!(state(&path), Err(StateError::Held { .. })));
    assert!(matches!(remove(&path), Err(RemoveError::Held { .. })));
    other.end();
    state(&path).unwrap();
}

/// The race of two who start while somebody takes the file away: this one has opened what is removed before it locks it.
#[test]
fn a_lock_that_was_removed_before_it_was_locked_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(state(&path).unwrap());
    let at = path.join(NAME);
    let opened = || open(&at).unwrap();

    let before = opened();
    fs::remove_file(&at).unwrap();
    assert!(matches!(hold(before, &at).unwrap(), Hold::Gone));

    let before = opened();
    fs::remove_file(&at).unwrap();
    // flock(1) makes it anew.
    let other = Other::start(&at);
    assert!(matches!(hold(before, &at).unwrap(), Hold::Gone));
    assert!(matches!(hold(opened(), &at).unwrap(), Hold::Anothers(_)));
    assert!(matches!(state(&path), Err(StateError::Held { .. })));
    other.end();
    assert!(matches!(hold(opened(), &at).unwrap(), Hold::Ours(_)));

    // And a removal of the directory, which is then made again. (flock(1) makes files that others may read: no auditor does.)
    fs::set_permissions(&at, fs::Permissions::from_mode(0o600)).unwrap();
    let before = opened();
    assert_eq!(remove(&path).unwrap(), Removed::Now);
    assert!(matches!(hold(before, &at).unwrap(), Hold::Gone));
    let _state = state(&path).unwrap();
}

#[test]
fn whoever_loses_its_lock_says_so_and_writes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let second = |second: i64| Timestamp::from_second(1_795_000_000 + second).unwrap();
    let mut mine = state(&path).unwrap();
    assert!(mine.beat(second(0)).is_none());
    assert!(mine.keep_uses([].iter(), second(0)).is_none());
    assert!(mine.keep_learned(6, || [].iter(), second(0)).is_none());
    fs::remove_file(path.join(NAME)).unwrap();
    let other = Other::start(&path.join(NAME));
    let written = fs::read_to_string(path.join("heartbeat.json")).unwrap();

    let told = mine.beat(second(1)).unwrap();
    assert_eq!(told.state, "degraded");
    assert!(
        told.message.contains("its lock was removed"),
        "{}",
        told.message
    );
    assert!(mine.beat(second(2)).is_none(), "once");
    let told = mine.keep_uses([].iter(), second(120)).unwrap();
    assert!(
        told.message.contains("its lock was removed"),
        "{}",
        told.message
    );
    let told = mine.keep_learned(7, || [].iter(), second(120)).unwrap();
    assert!(
        told.message.contains("its lock was removed"),
        "{}",
        told.message
    );
    assert!(mine.close(second(121)).is_err());
    let now = fs::read_to_string(path.join("heartbeat.json")).unwrap();
    assert_eq!(now, written, "the other's is left alone");
    assert!(!path.join("uses.json").exists() && !path.join("executables.json").exists());
    other.end();
}

/// Many who start, while one removes: of those who believe that they hold it, there is never more than one.
#[test]
fn never_do_two_hold_it_while_a_third_removes() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (holding, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut held = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                // Refused while one holds it.
                let _ = remove(&path);
            }
        });
        let starts = || {
            let mut held = 0;
            for _ in 0..3_000 {
                // Refused while the other holds it, or it is removed.
                let Ok(state) = state(&path) else { continue };
                assert_eq!(holding.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                std::thread::yield_now();
                holding.fetch_sub(1, Ordering::SeqCst);
                drop(state);
                held += 1;
            }
            held
        };
        let threads = [scope.spawn(starts), scope.spawn(starts)];
        let outcomes = threads.map(std::thread::ScopedJoinHandle::join);
        // Before any panic goes on: the third waits for it.
        ended.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            held += outcome.unwrap();
        }
    });
    assert!(held > 100, "{held}");
}
