use std::{
    fs::FileTimes,
    io::Write as _,
    iter,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use super::*;

/// Contents of a temporary file as numbers; refuses anything else.
struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
    watched: WatchedFile,
    parsed: u32,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        Self {
            watched: WatchedFile::new(path.clone()),
            path,
            _directory: directory,
            parsed: 0,
        }
    }

    fn write(&self, contents: &str) {
        fs::write(&self.path, contents).unwrap();
    }

    /// Waits until a further change must show in the times.
    fn settle(&mut self) {
        std::thread::sleep(CLOCK_TICK * 2);
        let _ = self.look();
    }

    fn look(&mut self) -> Result<Option<u32>, Problem> {
        let parsed = &mut self.parsed;
        let look = self.watched.look(|bytes| {
            *parsed += 1;
            String::from_utf8_lossy(bytes).trim().parse::<u32>()
        });
        match look {
            Ok(Look::Unchanged) => Ok(None),
            Ok(Look::Changed { value, hash }) => {
                assert_eq!(hash.len(), 16);
                Ok(Some(value))
            }
            Err(error) => Err(error.problem),
        }
    }
}

#[test]
fn reads_once_and_again_after_a_change() {
    let mut file = Fixture::new();
    assert!(matches!(file.look(), Err(Problem::Unreadable(_))));
    file.write("1");
    assert_eq!(file.look(), Ok(Some(1)));
    assert_eq!(file.look(), Ok(None));
    // Same size, same inode, within the same tick of the clock.
    file.write("2");
    assert_eq!(file.look(), Ok(Some(2)));
    file.settle();
    file.write("3");
    assert_eq!(file.look(), Ok(Some(3)));
    file.settle();
    let other = file.path.with_extension("new");
    fs::write(&other, "4").unwrap();
    fs::rename(other, &file.path).unwrap();
    assert_eq!(file.look(), Ok(Some(4)));
}

#[test]
fn reads_again_until_the_last_change_lies_back() {
    let mut file = Fixture::new();
    file.write("1");
    assert_eq!(file.look(), Ok(Some(1)));
    assert_eq!(file.watched.stamp, None, "a second write might not show");
    file.settle();
    assert_ne!(file.watched.stamp, None);
}

#[test]
fn does_not_take_what_changes_under_it() {
    let mut file = Fixture::new();
    file.write(&format!("1{}", " ".repeat(1 << 20)));
    let path = file.path.clone();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut handle = OpenOptions::new().append(true).open(path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                handle.write_all(b" ").unwrap();
            }
        });
        let begun = Instant::now();
        let mut looks = iter::from_fn(|| Some(file.look()));
        let unsteady = looks
            .by_ref()
            .take_while(|_| begun.elapsed() < Duration::from_secs(20))
            .any(|look| look == Err(Problem::Unsteady));
        stop.store(true, Ordering::Relaxed);
        assert!(unsteady);
    });
    assert_eq!(file.look(), Ok(Some(1)));
}

#[test]
fn an_old_mtime_does_not_hide_a_change() {
    let mut file = Fixture::new();
    file.write("1");
    let times = |path: &Path| FileTimes::new().set_modified(mtime(path));
    let old = times(&file.path);
    assert_eq!(file.look(), Ok(Some(1)));
    file.settle();
    file.write("2");
    let handle = OpenOptions::new().write(true).open(&file.path).unwrap();
    handle.set_times(old).unwrap();
    assert_eq!(file.look(), Ok(Some(2)));
}

fn mtime(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_refused_file_is_parsed_once_and_stays_refused() {
    let mut file = Fixture::new();
    file.write("1");
    assert_eq!(file.look(), Ok(Some(1)));
    file.write("one");
    file.settle();
    let first = file.look().unwrap_err();
    let parsed = file.parsed;
    assert_eq!(file.look().unwrap_err(), first);
    assert_eq!(file.parsed, parsed);
    file.write("1");
    assert_eq!(file.look(), Ok(None), "the contents in use are back");
    fs::remove_file(&file.path).unwrap();
    assert!(matches!(file.look(), Err(Problem::Unreadable(_))));
    file.write("1");
    assert_eq!(file.look(), Ok(None));
}

#[test]
fn refuses_what_is_no_file_or_too_large() {
    let mut file = Fixture::new();
    fs::create_dir(&file.path).unwrap();
    assert_eq!(file.look(), Err(Problem::NotAFile));
    fs::remove_dir(&file.path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &file.path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(file.look(), Err(Problem::NotAFile), "and does not hang");
    fs::remove_file(&file.path).unwrap();
    file.watched.limit = 4;
    file.write("12345");
    assert_eq!(file.look(), Err(Problem::TooLarge { limit: 4 }));
    file.write("1234");
    assert_eq!(file.look(), Ok(Some(1234)));
}

#[test]
fn hashes_are_the_beginning_of_sha256() {
    // sha256sum of nothing.
    assert_eq!(content_hash(b""), "e3b0c44298fc1c14");
}
