//! What an open that concerns nobody costs more with a tool attached: none, the auditor, opensnoop.bt.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::Subject;
use crate::{daemon, doctor::mount_point, process};

const ITERATIONS: u32 = 10_000;
const BATCHES: u32 = 20;
const TRACEFS: &str = "/sys/kernel/tracing";
const ATTACH_LIMIT: Duration = Duration::from_secs(30);

/// Nanoseconds per open+close, every batch of every round.
#[derive(Default)]
pub struct Samples {
    pub none: Vec<f64>,
    pub auditor: Vec<f64>,
    pub opensnoop: Vec<f64>,
}

/// Interleaved: each round measures all three, so that a noisy minute hits them alike.
pub fn measure(subject: &Subject, unrelated: &Path, rounds: u32) -> Result<Samples> {
    let _tracefs = Tracefs::mounted()?;
    let timed = || subject.time_opens(unrelated, ITERATIONS, BATCHES);
    let mut samples = Samples::default();
    for round in 1..=rounds {
        samples.none.extend(timed()?);
        let daemon = subject.start()?;
        samples.auditor.extend(timed()?);
        drop(daemon);
        let opensnoop = Opensnoop::start(unrelated)?;
        samples.opensnoop.extend(timed()?);
        drop(opensnoop);
        println!("round {round} of {rounds}");
    }
    Ok(samples)
}

/// opensnoop.bt as Debian ships it, its output read and thrown away.
struct Opensnoop(Child);

impl Opensnoop {
    fn start(open_me: &Path) -> Result<Self> {
        let script = process::find("opensnoop.bt").context("opensnoop.bt is missing")?;
        let mut command = Command::new("bpftrace");
        command
            .arg(script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut opensnoop = Self(command.spawn().context("cannot start bpftrace")?);
        let mut output = opensnoop
            .0
            .stdout
            .take()
            .context("bpftrace has no output")?;
        let traced = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&traced);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(1..) = output.read(&mut buffer) {
                seen.store(true, Ordering::Relaxed);
            }
        });
        // Its output is buffered: it shows only after some opens, which proves that it traces.
        let begun = Instant::now();
        while !traced.load(Ordering::Relaxed) {
            if begun.elapsed() > ATTACH_LIMIT || opensnoop.0.try_wait()?.is_some() {
                bail!(
                    "opensnoop.bt traced nothing; try it by hand: bpftrace /usr/sbin/opensnoop.bt"
                );
            }
            for _ in 0..100 {
                fs::File::open(open_me)?;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(opensnoop)
    }
}

impl Drop for Opensnoop {
    fn drop(&mut self) {
        daemon::terminate(&mut self.0);
    }
}

/// tracefs, which bpftrace's tracepoints need; unmounted again if it was not there.
struct Tracefs {
    mounted_here: bool,
}

impl Tracefs {
    fn mounted() -> Result<Self> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        if mount_point(&mountinfo, "tracefs").is_some() {
            return Ok(Self {
                mounted_here: false,
            });
        }
        process::capture(Command::new("mount").args(["-t", "tracefs", "tracefs", TRACEFS]))?;
        Ok(Self { mounted_here: true })
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.mounted_here
            && let Err(error) = process::capture(Command::new("umount").arg(PathBuf::from(TRACEFS)))
        {
            println!("{TRACEFS} stays mounted: {error:#}");
        }
    }
}
