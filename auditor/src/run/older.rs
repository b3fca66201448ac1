//! Looks at what all processes have open, at start and every few minutes: in a thread of its own, since it may have to wait for
//! a process that keeps its memory map locked.

use std::{
    fs::File,
    path::PathBuf,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use auditor_common::HeldRecord;
use tokio::sync::mpsc;

use crate::{
    node::{OlderFile, WantedVolumes, find_older},
    probe::{Record, decode, read_iterator},
};

/// Between two looks. A descriptor that came unseen is told of by then.
pub const EVERY: Duration = Duration::from_mins(5);
/// Records on their way; the thread waits when they are too many.
const ON_THEIR_WAY: usize = 64;

/// How to look.
pub enum Look {
    Iterators(Vec<File>),
    Proc {
        host_proc: PathBuf,
        volumes: WantedVolumes,
    },
}

/// One look at a time.
pub struct OlderWatch {
    every: Duration,
    sender: mpsc::Sender<OlderFile>,
    receiver: mpsc::Receiver<OlderFile>,
    running: Option<JoinHandle<Result<(), String>>>,
    last: Option<Instant>,
}

impl OlderWatch {
    pub fn new(every: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(ON_THEIR_WAY);
        Self {
            every,
            sender,
            receiver,
            running: None,
            last: None,
        }
    }

    /// Whether it is time for a look, and the last one has ended.
    pub fn is_due(&self) -> bool {
        self.running.as_ref().is_none_or(JoinHandle::is_finished)
            && self.last.is_none_or(|last| last.elapsed() >= self.every)
    }

    /// # Errors
    /// No thread can be made; the next look is due in its time.
    pub fn start(&mut self, look: Look) -> Result<(), String> {
        let sender = self.sender.clone();
        self.missed();
        let thread = std::thread::Builder::new().name("older".to_owned());
        let running = thread
            .spawn(move || run(look, &sender))
            .map_err(|error| format!("no thread for a look: {error}"))?;
        self.running = Some(running);
        Ok(())
    }

    /// A look could not begin: not again before its time.
    pub fn missed(&mut self) {
        self.last = Some(Instant::now());
    }

    /// How the last look ended, once; and again and again that it has not, when the next one would be due.
    pub fn result(&mut self) -> Option<Result<(), String>> {
        let took = self.last.map_or(Duration::ZERO, |last| last.elapsed());
        if took >= self.every
            && self
                .running
                .as_ref()
                .is_some_and(|running| !running.is_finished())
        {
            return Some(Err(
                "a look does not end: a process has its memory map locked, or output stands still"
                    .to_owned(),
            ));
        }
        let ended = self.running.take_if(|running| running.is_finished())?;
        Some(
            ended
                .join()
                .unwrap_or_else(|_| Err("the look's thread panicked".to_owned())),
        )
    }

    /// Of the look that is running; waits where there is none.
    pub async fn found(&mut self) -> Option<OlderFile> {
        self.receiver.recv().await
    }

    /// Without waiting.
    pub fn try_found(&mut self) -> Option<OlderFile> {
        self.receiver.try_recv().ok()
    }
}

fn run(look: Look, sender: &mpsc::Sender<OlderFile>) -> Result<(), String> {
    let started = Instant::now();
    let mut result = Ok(());
    match look {
        Look::Iterators(files) => {
            for mut file in files {
                let read = read_iterator(&mut file, |bytes| match decode(bytes) {
                    Ok(Record::Held(record)) => sender.blocking_send(by_iterator(record)).is_ok(),
                    Ok(_) | Err(_) => {
                        tracing::error!("an iterator's record makes no sense");
                        true
                    }
                });
                if let Err(error) = read {
                    result = Err(format!("an iterator cannot be read to its end: {error}"));
                }
            }
        }
        Look::Proc { host_proc, volumes } => {
            find_older(&host_proc, &volumes, |found| {
                sender.blocking_send(found).is_ok()
            });
        }
    }
    tracing::debug!(took = ?started.elapsed(), "looked at what is open");
    result
}

fn by_iterator(record: &HeldRecord) -> OlderFile {
    OlderFile {
        record: *record,
        cgroup: None,
        reaper_cgroup: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_does_not_end_is_told() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut watch = OlderWatch::new(Duration::from_millis(1));
        let stuck = File::from(std::os::fd::OwnedFd::from(reader));
        watch.start(Look::Iterators(vec![stuck])).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let why = watch.result().unwrap().unwrap_err();
        assert!(why.contains("does not end"), "{why}");
        assert!(!watch.is_due(), "one at a time");
        drop(writer);
        let ended = loop {
            match watch.result() {
                Some(Err(_)) => std::thread::yield_now(),
                other => break other,
            }
        };
        assert_eq!(ended, Some(Ok(())));
    }

    #[test]
    fn a_look_that_fails_is_no_good_look() {
        let mut watch = OlderWatch::new(EVERY);
        let closed = File::options().write(true).open("/dev/null").unwrap();
        watch.start(Look::Iterators(vec![closed])).unwrap();
        let result = loop {
            if let Some(result) = watch.result() {
                break result;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(result.unwrap_err().contains("cannot be read"));
    }

    #[tokio::test]
    async fn one_look_at_a_time_and_each_in_its_time() {
        let memfd = rustix::fs::memfd_create("older", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let stat = rustix::fs::fstat(&memfd).unwrap();
        let device = crate::probe::Device::from_stat(stat.st_dev);
        let identity = auditor_common::VolumeIdentity {
            fsid: 1,
            superblock: 0,
        };
        let look = || Look::Proc {
            host_proc: "/proc".into(),
            volumes: WantedVolumes::from([(device, identity)]),
        };
        let mut watch = OlderWatch::new(Duration::ZERO);
        assert!(watch.is_due(), "the first is due at once");
        watch.start(look()).unwrap();
        let own = async |watch: &mut OlderWatch| {
            loop {
                let found = watch.found().await.unwrap();
                if found.record.file.ino == stat.st_ino {
                    return found;
                }
            }
        };
        assert_eq!(own(&mut watch).await.record.task.pid, std::process::id());
        while !watch.is_due() {
            let _ = watch.try_found();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(watch.result(), Some(Ok(())));
        assert_eq!(watch.result(), None, "once");
        watch.start(look()).unwrap();
        own(&mut watch).await;
        watch.every = Duration::from_secs(60);
        assert!(!watch.is_due());
    }
}
