//! Ends the process when the event loop no longer turns, so that it is started again. From within, and not by a liveness probe
//! over the network: whoever reaches the port could keep that one from its answer.

use std::{
    io::{self, Write as _},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::cli::{Failure, Stderr};

#[derive(Clone, Copy, Debug)]
struct Patience {
    /// From one look to the next.
    look_every: Duration,
    /// For the loop's first turn: loading the programs takes seconds, and far longer where the processor is emulated.
    first: Duration,
    /// Between two turns; it turns a few times a second where nothing happens.
    turn: Duration,
}

const PATIENCE: Patience = Patience {
    look_every: Duration::from_secs(5),
    first: Duration::from_mins(10),
    turn: Duration::from_mins(2),
};

/// What was seen of the loop, by a thread that looks now and then. Only time between looks counts, and of a step at most twice
/// what it should be: a process that was stopped, frozen or suspended as a whole is not one whose loop hangs.
#[derive(Debug)]
struct Vigil {
    patience: Patience,
    turns: u64,
    looked_at: Instant,
    stood_for: Duration,
}

impl Vigil {
    fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            turns: 0,
            looked_at: now,
            stood_for: Duration::ZERO,
        }
    }

    /// `turns`: so far. Some: for so long there was none, and that is too long.
    fn look(&mut self, turns: u64, now: Instant) -> Option<Duration> {
        let step = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        if turns != self.turns {
            self.turns = turns;
            self.stood_for = Duration::ZERO;
            return None;
        }
        self.stood_for += step.min(self.patience.look_every * 2);
        let patience = match turns {
            0 => self.patience.first,
            _ => self.patience.turn,
        };
        (self.stood_for >= patience).then_some(self.stood_for)
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    turns: Arc<AtomicU64>,
    /// Its end is the thread's.
    _alive: Sender<()>,
}

impl Watchdog {
    /// # Errors
    /// When no thread can be made.
    pub fn start() -> io::Result<Self> {
        Self::watch(PATIENCE, end)
    }

    /// `end` is called once, by the watching thread, with how long the loop stood.
    fn watch(patience: Patience, end: impl FnOnce(Duration) + Send + 'static) -> io::Result<Self> {
        let turns = Arc::new(AtomicU64::new(0));
        let (alive, stop) = channel();
        let watched = turns.clone();
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                // CLOCK_MONOTONIC, which stands still in a suspend.
                let mut vigil = Vigil::new(patience, Instant::now());
                while stop.recv_timeout(patience.look_every) == Err(RecvTimeoutError::Timeout) {
                    let turns = watched.load(Ordering::Relaxed);
                    if let Some(stood_for) = vigil.look(turns, Instant::now()) {
                        return end(stood_for);
                    }
                }
            })?;
        Ok(Self {
            turns,
            _alive: alive,
        })
    }

    /// The loop goes round once more.
    pub fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nothing can be asked of the loop any more. Lines that it handed over are out since long: another thread writes them. Where their
/// reader takes nothing the loop turns all the same, and this is not reached.
fn end(stood_for: Duration) {
    let failure = Failure::environment(anyhow::anyhow!(
        "the event loop has not turned for {} s: nothing is watched, so the process ends and can be started again",
        stood_for.as_secs()
    ))
    .help("does the disk of --state-dir hang, or a mount? Where it recurs, report it with the log before this line");
    // Not as other failures, which wait for whoever reads stderr.
    let _ = Stderr.write(failure.message().as_bytes());
    process::exit(failure.exit() as i32);
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    const BRIEF: Patience = Patience {
        look_every: Duration::from_millis(20),
        first: Duration::from_secs(60),
        turn: Duration::from_millis(200),
    };

    /// Looks each 5 s; what each says, in seconds.
    fn looks(vigil: &mut Vigil, start: Instant, turns: &[(u64, u64)]) -> Vec<Option<u64>> {
        let looks = turns.iter().map(|(second, turns)| {
            let found = vigil.look(*turns, start + Duration::from_secs(*second));
            found.map(|stood_for| stood_for.as_secs())
        });
        looks.collect()
    }

    #[test]
    fn it_bites_after_two_minutes_without_a_turn() {
        let start = Instant::now();
        let mut vigil = Vigil::new(PATIENCE, start);
        assert_eq!(looks(&mut vigil, start, &[(5, 7)]), [None]);
        for second in (10..125).step_by(5) {
            assert_eq!(looks(&mut vigil, start, &[(second, 7)]), [None], "{second}");
        }
        assert_eq!(looks(&mut vigil, start, &[(125, 7)]), [Some(120)]);
    }

    #[test]
    fn one_turn_is_enough() {
        let start = Instant::now();
        let mut vigil = Vigil::new(PATIENCE, start);
        for second in (5..3600).step_by(5) {
            let turns = 1 + second / 115;
            assert_eq!(
                looks(&mut vigil, start, &[(second, turns)]),
                [None],
                "{second}"
            );
        }
    }

    #[test]
    fn the_start_has_ten_minutes() {
        let start = Instant::now();
        let mut vigil = Vigil::new(PATIENCE, start);
        let bites = (5..).step_by(5).find(|second| {
            let found = looks(&mut vigil, start, &[(*second, 0)]);
            found != [None]
        });
        assert_eq!(bites, Some(600));
    }

    #[test]
    fn a_process_that_stood_still_as_a_whole_is_given_the_time_to_turn() {
        let start = Instant::now();
        let mut vigil = Vigil::new(PATIENCE, start);
        // Stopped for an hour; the watching thread is the first that runs again.
        let told = looks(
            &mut vigil,
            start,
            &[(5, 3), (3605, 3), (3610, 3), (3615, 4)],
        );
        assert_eq!(told, [None; 4]);
        // And where it really hangs it is not forgotten.
        assert_eq!(looks(&mut vigil, start, &[(7200, 4), (7205, 4)]), [None; 2]);
        let hung = (7210..).step_by(5).find(|second| {
            let found = looks(&mut vigil, start, &[(*second, 4)]);
            found != [None]
        });
        assert_eq!(hung, Some(7200 + 110));
    }

    #[test]
    fn the_thread_watches_until_the_watchdog_is_dropped() {
        let (tell, told) = channel();
        let watch = |tell: Sender<Duration>| {
            Watchdog::watch(BRIEF, move |stood_for| tell.send(stood_for).unwrap()).unwrap()
        };
        let dropped = watch(tell.clone());
        dropped.turned();
        thread::sleep(BRIEF.look_every * 3);
        drop(dropped);
        // Nobody bites for it, though it stands still from here on.
        assert!(told.recv_timeout(BRIEF.turn * 3).is_err());

        let watchdog = watch(tell);
        watchdog.turned();
        let stood_for = told.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(stood_for >= BRIEF.turn, "{stood_for:?}");
    }

    const HANG: &str = "AUDITOR_TEST_HANG";

    /// Run by itself it hangs: as a child of the test below.
    #[test]
    fn the_process_ends_with_1_and_says_why() {
        if env::var_os(HANG).is_some() {
            let watchdog = Watchdog::watch(BRIEF, end).unwrap();
            watchdog.turned();
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let name = "run::watchdog::tests::the_process_ends_with_1_and_says_why";
        let ended = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(HANG, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        let mut last = said.lines().rev();
        let help = last.next().unwrap();
        assert!(
            help.starts_with("help: does the disk of --state-dir hang"),
            "{said}"
        );
        let reason = last.next().unwrap();
        assert!(
            reason.starts_with("auditor: the event loop has not turned for 0 s"),
            "{said}"
        );
    }
}
