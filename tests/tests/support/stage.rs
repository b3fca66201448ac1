//! A node with one who makes noise, a victim and a thief, and an auditor whose lines go wherever a test likes.

#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses a part of this"
)]

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    auditor::{self, Envelope},
    node::{Lab, Pod, PodSpec, cluster::ROLES, pod::IRSA},
    patience,
    scene::{associated, host_path_of, with_host_kubelet},
};
use serde_json::Value;

use crate::support::{self, backend, get, helpers};

pub struct Stage {
    pub lab: Lab,
    pub noisy: Pod,
    pub victim: Pod,
    pub thief: Pod,
    /// Off, each open of a flood is a line: what is tested then is what comes behind.
    pub flood_control: bool,
}

/// A flood that goes on.
#[derive(Debug)]
#[must_use]
pub struct Noise {
    /// In its pod's namespace.
    pid: u32,
}

/// How the opener fared.
#[derive(Debug)]
pub struct Flood {
    pub took: Duration,
    pub slowest: Duration,
}

impl Stage {
    pub fn new() -> Result<Self> {
        let mut lab = Lab::new(&helpers())?;
        let role = format!("{ROLES}/shop-noisy");
        lab.cluster.annotate("shop", "noisy", &role)?;
        let noisy = lab.start(PodSpec::new("shop", "noisy").with_irsa(&role))?;
        let (victim, _) = associated(&mut lab, "payments", "ledger")?;
        let thief = with_host_kubelet(&mut lab, PodSpec::new("shop", "web"))?;
        Ok(Self {
            lab,
            noisy,
            victim,
            thief,
            flood_control: false,
        })
    }

    pub fn own_token(&self) -> Result<String> {
        Ok(self.noisy.spec.token(IRSA).context("no token")?.path())
    }

    /// `times` opens of its own token by one pod: as many plain lines. Returns once all of them have succeeded.
    pub fn flood(&mut self, times: u32) -> Result<Flood> {
        let path = self.own_token()?;
        let begun = Instant::now();
        let words = ["peek", "--times", &times.to_string(), &path];
        let slowest = self.lab.run(&self.noisy, &words)?;
        let flood = Flood {
            took: begun.elapsed(),
            slowest: Duration::from_micros(slowest.trim().parse()?),
        };
        println!("{times} opens: {flood:?}");
        Ok(flood)
    }

    /// The same, and does not wait for it.
    pub fn flood_meanwhile(&mut self, times: u32) -> Result<()> {
        let path = self.own_token()?;
        let command = format!("peek --times {times} {path} >/dev/null 2>&1 &");
        self.lab.run(&self.noisy, &["sh", "-c", &command]).map(drop)
    }

    /// The same, until [`Self::quiet`].
    pub fn flood_without_end(&mut self) -> Result<Noise> {
        let path = self.own_token()?;
        let command = format!("peek --times {} {path} >/dev/null 2>&1 & echo $!", u64::MAX);
        let pid = self.lab.run(&self.noisy, &["sh", "-c", &command])?;
        Ok(Noise {
            pid: pid.trim().parse().context(pid)?,
        })
    }

    pub fn quiet(&mut self, noise: Noise) -> Result<()> {
        let command = format!("kill {}", noise.pid);
        self.lab
            .run(&self.noisy, &["sh", "-c", &command])
            .map(drop)
            .context("the flood ended by itself")
    }

    /// The thief reads the victim's token.
    pub fn steal(&mut self) -> Result<()> {
        let path = host_path_of(&self.victim);
        self.lab.run(&self.thief, &["peek", &path]).map(drop)
    }

    pub fn is_theft(&self, line: &Value) -> bool {
        line["event"] == "token_open"
            && line["verdict"] == "violation"
            && line["pod"]["uid"] == *self.thief.spec.uid
            && line["token"]["owner"]["uid"] == *self.victim.spec.uid
            && line["findings"]
                .as_array()
                .is_some_and(|all| all.iter().any(|f| f["id"] == "foreign-token-open"))
    }

    pub fn is_noise(&self, line: &Value) -> bool {
        line["event"] == "token_open" && line["pod"]["uid"] == *self.noisy.spec.uid
    }

    /// `auditor run` on this node; where its lines go, the caller says.
    pub fn command(&self) -> Result<Command> {
        self.command_with("system.slice/auditor.service", &auditor::flags(&self.lab))
    }

    pub fn command_with(&self, cgroup: &str, flags: &[String]) -> Result<Command> {
        let mut command = self.lab.auditor(cgroup, &support::auditor(), &[])?;
        command
            .arg("run")
            .args(flags)
            .args(["--backend", &backend()])
            .args((!self.flood_control).then_some("--no-flood-control"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    pub fn log(&self, name: &str) -> Result<(std::fs::File, PathBuf)> {
        let path = self.lab.dir().join(name);
        Ok((std::fs::File::create(&path)?, path))
    }
}

/// A running auditor; killed when dropped.
pub struct Daemon {
    pub child: Child,
    log: PathBuf,
}

impl Daemon {
    pub fn start(stage: &Stage, mut command: Command) -> Result<Self> {
        let (file, log) = stage.log("auditor.log")?;
        // A signal to the tests' group is none to the auditor.
        let child = command.stderr(file).process_group(0).spawn()?;
        Ok(Self { child, log })
    }

    /// Waits for /readyz to answer so, with `word` in its text.
    pub fn until_readyz(&self, ready: &Value, status: u16, word: &str) -> Result<()> {
        wait_for(&format!("/readyz to be {status} with {word:?}"), || {
            let (found, text) = get(ready, "/readyz");
            Ok(found == status && text.contains(word))
        })
    }

    /// SIGTERM; the exit status, which must come within 2 s.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        auditor::terminate(&mut self.child, Duration::from_secs(2) * patience())
            .with_context(|| self.log())
    }

    /// As [`stop`](Self::stop), where the other end takes nothing: what is not out is lost, is announced, and is the exit code.
    pub fn stop_with_lines_lost(&mut self) -> Result<()> {
        let status = self.stop()?;
        let log = self.log();
        ensure!(status.code() == Some(1), "{status}: what it had is lost");
        ensure!(log.contains("the output did not take everything"), "{log}");
        Ok(())
    }

    pub fn log(&self) -> String {
        auditor::tail(&self.log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum of a metric over all its labels.
pub fn metric(ready: &Value, name: &str, labels: &str) -> f64 {
    let (_, text) = get(ready, "/metrics");
    let full = format!("credential_auditor_{name}");
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let rest = series.strip_prefix(&full)?;
        let is_it = rest.is_empty() || rest.starts_with('{');
        (is_it && rest.contains(labels)).then(|| value.parse::<f64>().unwrap_or(f64::NAN))
    });
    samples.sum()
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20) * patience();
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited for {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Reads lines as they come, unless it is told to stall or to take its time. Each is held against what every line must be.
pub struct Reader {
    lines: Receiver<String>,
    stalled: Arc<AtomicBool>,
    /// From one line to the next, ns.
    pace: Arc<AtomicU64>,
    envelope: Envelope,
}

impl Reader {
    pub fn new(from: impl Read + Send + 'static) -> Self {
        Self::after(Envelope::default(), from)
    }

    /// Goes on where another reader left off.
    pub fn after(envelope: Envelope, from: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        let stalled = Arc::new(AtomicBool::new(false));
        let stall = stalled.clone();
        let pace = Arc::new(AtomicU64::new(0));
        let pause = pace.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            loop {
                thread::sleep(Duration::from_nanos(pause.load(Ordering::Relaxed)));
                while stall.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                }
                let mut line = String::new();
                match from.read_line(&mut line) {
                    Ok(1..) if sender.send(line).is_ok() => {}
                    _ => return,
                }
            }
        });
        Self {
            lines,
            stalled,
            pace,
            envelope,
        }
    }

    /// Rests so long before each line.
    pub fn pace(&self, rest: Duration) {
        let rest = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        self.pace.store(rest, Ordering::Relaxed);
    }

    pub fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Lines up to the first that fits.
    pub fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let mut lines = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(text) => {
                    let line = self.envelope.check(&text)?;
                    let last = fits(&line);
                    lines.push(line);
                    if last {
                        return Ok(lines);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("waited for {what}: {}", tell(&lines)),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the stream ended before {what}: {}", tell(&lines))
                }
            }
        }
    }

    pub fn ready(&mut self) -> Result<Value> {
        let lines = self.until("ready", |line| line["event"] == "ready")?;
        lines.into_iter().next_back().context("no ready")
    }

    /// All lines up to the end of the stream, `stopped` being the last.
    pub fn rest(mut self) -> Result<Vec<Value>> {
        let lines = self.until("stopped", |line| line["event"] == "stopped")?;
        ensure!(
            self.lines.recv_timeout(Duration::from_secs(5)) == Err(RecvTimeoutError::Disconnected),
            "there is more after `stopped`"
        );
        Ok(lines)
    }
}

/// Reads that far and is gone: whoever writes on has nobody who reads.
pub fn up_to_ready(from: impl Read, envelope: &mut Envelope) -> Result<Value> {
    let mut from = BufReader::new(from);
    loop {
        let mut text = String::new();
        ensure!(
            from.read_line(&mut text)? > 0,
            "it ended before it was ready"
        );
        let line = envelope.check(&text)?;
        if line["event"] == "ready" {
            return Ok(line);
        }
    }
}

/// The kinds of the lines, not the lines: there may be thousands.
fn tell(lines: &[Value]) -> String {
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for line in lines {
        *kinds.entry(line["event"].to_string()).or_default() += 1;
    }
    format!("{kinds:?}")
}

/// How many of the lines fit.
pub fn count(lines: &[Value], fits: impl Fn(&Value) -> bool) -> u64 {
    lines.iter().filter(|line| fits(line)).count() as u64
}

/// Sum of the counts of `loss` lines with this reason.
pub fn lost(lines: &[Value], reason: &str) -> u64 {
    let losses = lines
        .iter()
        .filter(|line| line["event"] == "loss" && line["reason"] == reason);
    losses.filter_map(|line| line["count"].as_u64()).sum()
}

pub fn is_health(line: &Value, component: &str, state: &str) -> bool {
    line["event"] == "health" && line["component"] == component && line["state"] == state
}
