//! The auditor with a reader on its standard output that is fast enough for a flood: most lines are only looked at, not parsed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Subject,
    flood::realtime,
    glance::{Glance, service_account},
};
use crate::{
    auditor::{self, Sequence, Totals, explained_hole},
    node::Lab,
    patience,
};

/// What a `loss` and a `summary` line may call their number of events.
const COUNTS: [&str; 3] = ["count", "repeats", "folded"];

/// A line that was parsed whole.
#[derive(Clone, Debug)]
pub struct Whole {
    /// When its bytes were read, CLOCK_REALTIME, ns.
    pub arrived: u64,
    pub line: Value,
}

/// What was read so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub lines: u64,
    pub bytes: u64,
    pub by_event: BTreeMap<String, u64>,
    /// `token_open` lines of verdict `allowed`; they are not kept.
    pub allowed_opens: u64,
    /// The same by the ServiceAccount of whose pod it was, where [`Stream::count_openers`] was called: it costs a look at each line.
    pub allowed_by: BTreeMap<String, u64>,
    counts_openers: bool,
    /// Sums of what `loss` and `summary` lines count.
    pub lost: u64,
    pub folded: u64,
    /// Numbers that `seq` left out, or had twice, and that no `loss` line explains.
    pub holes: u64,
    /// From an open (by the kernel's clock) to its line read here, ms.
    pub delays: Vec<f32>,
    /// Everything else: what is not allowed, and what tells of the auditor itself.
    pub whole: Vec<Whole>,
    sequence: Sequence,
}

impl Seen {
    pub fn of(&self, event: &str) -> impl Iterator<Item = &Whole> {
        let event = event.to_owned();
        self.whole
            .iter()
            .filter(move |whole| whole.line["event"] == event)
    }

    /// # Errors
    /// Where there is no `stopped` line, or it lacks a total.
    pub fn totals(&self) -> Result<Totals> {
        Totals::of(&self.of("stopped").next().context("no `stopped` line")?.line)
    }

    pub(super) fn take(&mut self, line: &[u8], arrived: u64) {
        self.lines += 1;
        self.bytes += line.len() as u64 + 1;
        let glance = Glance::at(line);
        let is_plain = glance.event == "token_open" && glance.verdict == "allowed";
        // A line that is no JSON is null here: the caller finds it by its event.
        let whole: Option<Value> =
            (!is_plain).then(|| serde_json::from_slice(line).unwrap_or_default());
        if let Some(seq) = glance.seq {
            let explained = whole.as_ref().map_or(0, explained_hole);
            self.holes += self.sequence.take(seq, explained).abs_diff(seq);
        }
        match self.by_event.get_mut(glance.event) {
            Some(count) => *count += 1,
            None => {
                self.by_event.insert(glance.event.to_owned(), 1);
            }
        }
        if glance.event == "token_open"
            && let Some(time) = glance.time
        {
            self.delays
                .push(((arrived as i64 - time as i64) as f64 / 1e6) as f32);
        }
        let Some(line) = whole else {
            self.allowed_opens += 1;
            if self.counts_openers {
                let opener = service_account(line).unwrap_or_default().to_owned();
                *self.allowed_by.entry(opener).or_default() += 1;
            }
            return;
        };
        let count = COUNTS.iter().find_map(|name| line[name].as_u64());
        match glance.event {
            "loss" => self.lost += count.unwrap_or_default(),
            "summary" => self.folded += count.unwrap_or_default(),
            _ => {}
        }
        self.whole.push(Whole { arrived, line });
    }
}

/// Killed when dropped.
pub struct Stream {
    child: Child,
    seen: Arc<Mutex<Seen>>,
    /// CLOCK_REALTIME, ns: until then nothing is read.
    asleep_until: Arc<AtomicU64>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl Stream {
    /// Starts it and waits for its `ready`.
    ///
    /// # Errors
    /// Where it does not get ready in time, with the end of its log.
    pub fn start(lab: &Lab, subject: &Subject) -> Result<Self> {
        let options = &subject.auditor;
        let log = lab.dir().join("auditor.log");
        let mut command = lab.auditor(
            "system.slice/auditor.service",
            &options.program,
            &options.without,
        )?;
        command.arg("run").args(auditor::flags(lab));
        command.args(["--backend", &options.backend]);
        command.args(&options.args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        // A session is a group of its own for the scheduler (sched(7), autogroup), as a unit or a pod is with weights: without it
        // the auditor would be one of thousands of equal processes when pods take all there is.
        // SAFETY: between fork and exec there is one system call, which touches no memory of this process.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(())
            });
        }
        let mut child = command.spawn().context("start the auditor")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let seen = Arc::default();
        let asleep_until = Arc::default();
        let (theirs, until) = (Arc::clone(&seen), Arc::clone(&asleep_until));
        let reader = thread::spawn(move || read(stdout, &theirs, &until));
        let mut this = Self {
            child,
            seen,
            asleep_until,
            reader: Some(reader),
            log,
        };
        let limit = Duration::from_secs(30) * patience();
        let ready = this.wait(limit, |seen| seen.of("ready").next().is_some())?;
        ensure!(
            ready,
            "the auditor is not ready in time\n{}",
            auditor::tail(&this.log)
        );
        Ok(this)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on [`Seen::allowed_by`] is kept.
    pub fn count_openers(&self) {
        self.seen().counts_openers = true;
    }

    /// Nothing is read for so long.
    pub fn sleep_reader(&self, pause: Duration) {
        let until = realtime() + pause.as_nanos() as u64;
        self.asleep_until.store(until, Ordering::Relaxed);
    }

    /// Until `done`, at most `limit`; whether it was.
    ///
    /// # Errors
    /// Where the auditor ends meanwhile.
    pub fn wait(&mut self, limit: Duration, done: impl Fn(&Seen) -> bool) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if done(&self.seen()) {
                return Ok(true);
            }
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none(),
                "the auditor ended by itself\n{}",
                auditor::tail(&self.log)
            );
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Until `done`, or until nothing has come for `quiet`.
    pub fn settle(&mut self, quiet: Duration, done: impl Fn(&Seen) -> bool) -> Result<bool> {
        loop {
            let before = self.seen().lines;
            if self.wait(quiet, |seen| done(seen))? {
                return Ok(true);
            }
            if self.seen().lines == before {
                return Ok(false);
            }
        }
    }

    /// SIGTERM; everything that was read, with `stopped` in it.
    ///
    /// # Errors
    /// Where it does not end within 30 s, or says no `stopped`.
    pub fn stop(mut self) -> Result<Seen> {
        let limit = Duration::from_secs(30) * patience();
        self.asleep_until.store(0, Ordering::Relaxed);
        auditor::terminate(&mut self.child, limit)?;
        if let Some(reader) = self.reader.take() {
            // It ends with the pipe; a panic there leaves what was read until then.
            let _ = reader.join();
        }
        let seen = std::mem::take(&mut *self.seen());
        ensure!(
            seen.of("stopped").next().is_some(),
            "no `stopped` line\n{}",
            auditor::tail(&self.log)
        );
        Ok(seen)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A step of a sleeping reader, so that the end wakes it soon.
const NAP: Duration = Duration::from_millis(20);

/// Before all others: what measures must not wait with thousands of processes for what it measures. Needs CAP_SYS_NICE.
fn take_precedence() {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the parameters, which live until it returns; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const lowest) } != 0 {
        let error = std::io::Error::last_os_error();
        eprintln!("the reader has no precedence, and may be late itself: {error}");
    }
}

fn read(mut stdout: ChildStdout, seen: &Mutex<Seen>, asleep_until: &AtomicU64) {
    take_precedence();
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    loop {
        while asleep_until.load(Ordering::Relaxed) > realtime() {
            thread::sleep(NAP);
        }
        let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) else {
            // A line of a megabyte is no line of the contract.
            return;
        };
        let Ok(count @ 1..) = stdout.read(room) else {
            return;
        };
        let arrived = realtime();
        filled += count;
        let all = buffer.get(..filled).unwrap_or_default();
        let whole = all
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for line in all
            .get(..whole)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
        {
            if !line.is_empty() {
                seen.take(line, arrived);
            }
        }
        drop(seen);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_left_out_is_a_hole_unless_the_sink_lost_it() {
        let holes = |lines: &[&str]| {
            let mut seen = Seen::default();
            for line in lines {
                seen.take(line.as_bytes(), 0);
            }
            seen.holes
        };
        let first = r#"{"seq":0,"event":"token_open","verdict":"allowed","x":1}"#;
        let loss =
            |seq: u64| format!(r#"{{"seq":{seq},"event":"loss","reason":"sink","count":3}}"#);
        assert_eq!(holes(&[first, &loss(4)]), 0);
        assert_eq!(holes(&[first, &loss(5)]), 1, "one more than it says");
        assert_eq!(holes(&[first, &loss(3)]), 1, "one fewer");
        assert_eq!(holes(&[first, first]), 1, "the same twice");
        let health = r#"{"seq":2,"event":"health"}"#;
        assert_eq!(holes(&[first, health]), 1);
    }
}
