//! One boot in QEMU: the console line by line, until the guest says how it went, or dies, or takes too long.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::arch::Arch;
use crate::process;

/// After the guest's last word it powers off; if it cannot, that is no longer of interest.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(20);

/// What is booted.
pub struct Machine<'a> {
    pub arch: Arch,
    pub kernel: &'a Path,
    /// Uncompressed.
    pub initramfs: &'a Path,
    pub processors: u32,
}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The guest's own word: something that it ran has failed.
    Failure,
    /// The kernel's console line that ended it.
    KernelTrouble(String),
    TimedOut(Duration),
    /// QEMU ended before the guest said anything.
    Silent(String),
}

/// Boots, hands each console line to `line`, and ends QEMU by its process id if it does not end itself.
///
/// # Errors
/// When QEMU cannot start.
pub fn boot(machine: &Machine<'_>, limit: Duration, mut line: impl FnMut(&str)) -> Result<Outcome> {
    let mut command = command(machine);
    println!("$ {}", process::shown(&command));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut guest =
        Guest(child.with_context(|| format!("cannot start {}", machine.arch.qemu().0))?);
    let lines = read_lines(guest.0.stdout.take().context("QEMU has no console")?);
    let outcome = watch(&lines, limit, &mut line);
    if matches!(outcome, Some(Outcome::Success | Outcome::Failure)) {
        // What the kernel says while it powers off; trouble here is no success.
        if let Some(trouble @ Outcome::KernelTrouble(_)) = watch(&lines, POWER_OFF_LIMIT, &mut line)
        {
            return Ok(trouble);
        }
    }
    match outcome {
        Some(outcome) => Ok(outcome),
        None => Ok(Outcome::Silent(guest.0.wait()?.to_string())),
    }
}

/// A running QEMU, ended when dropped.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let ended: std::io::Result<Option<ExitStatus>> = self.0.try_wait();
        if !matches!(ended, Ok(Some(_))) && self.0.kill().is_ok() {
            // Nothing to do about a process that cannot be waited for.
            let _ = self.0.wait();
        }
    }
}

fn command(machine: &Machine<'_>) -> Command {
    let Machine {
        arch,
        kernel,
        initramfs,
        processors,
    } = machine;
    let mut command = Command::new(arch.qemu().0);
    // Emulation, never KVM: the same everywhere, nested CI machines included.
    command.args(["-accel", "tcg,thread=multi"]);
    command.args(arch.machine());
    command.args(["-smp", &processors.to_string(), "-m", "1024"]);
    command.args([
        "-nodefaults",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-monitor",
        "none",
        "-no-reboot",
    ]);
    command
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs);
    // What follows `--` are the arguments of init.
    let line = format!("console={} quiet panic=-1 -- guest", arch.console());
    command.args(["-append", &line]);
    command
}

fn read_lines(console: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n') {
            let Ok(line) = line else { return };
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches('\r')
                .to_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Until something decides, the limit passes, or the console closes (`None`).
fn watch(
    lines: &Receiver<String>,
    limit: Duration,
    line: &mut impl FnMut(&str),
) -> Option<Outcome> {
    let begun = Instant::now();
    loop {
        match lines.recv_timeout(limit.saturating_sub(begun.elapsed())) {
            Ok(text) => {
                line(&text);
                if let Some(outcome) = decide(&text) {
                    return Some(outcome);
                }
            }
            Err(RecvTimeoutError::Timeout) => return Some(Outcome::TimedOut(limit)),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// What a console line means for the whole boot.
fn decide(line: &str) -> Option<Outcome> {
    match line.trim() {
        "guest: success" => return Some(Outcome::Success),
        "guest: failure" => return Some(Outcome::Failure),
        _ => {}
    }
    // Only the kernel's own lines, `[   12.345678] …`, so that no program's output is taken for one.
    let (stamp, message) = line.trim_start().strip_prefix('[')?.split_once("] ")?;
    stamp.trim().parse::<f64>().ok()?;
    let trouble = [
        "Kernel panic",
        "soft lockup",
        "hard LOCKUP",
        "rcu_sched detected stall",
        "self-detected stall",
        "detected stalls on",
        "blocked for more than",
        "Oops",
        "BUG: ",
    ];
    let found = trouble.iter().any(|mark| message.contains(mark));
    found.then(|| Outcome::KernelTrouble(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_word_decides() {
        assert_eq!(decide("guest: success"), Some(Outcome::Success));
        assert_eq!(decide("guest: failure\r"), Some(Outcome::Failure));
        assert_eq!(decide("scene guest: success"), None);
    }

    #[test]
    fn kernel_trouble_is_the_kernels_own_line() {
        let trouble = |line: &str| matches!(decide(line), Some(Outcome::KernelTrouble(_)));
        assert!(trouble(
            "[    3.141592] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"
        ));
        assert!(trouble(
            "[   48.000001] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [auditor:93]"
        ));
        assert!(trouble(
            "[   21.5] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"
        ));
        assert!(!trouble("Kernel panic, says a program"));
        assert!(!trouble("[info] BUG: a program's log"));
        assert!(!trouble("[    1.000000] Run /init as init process"));
    }

    #[test]
    fn a_closed_console_is_no_success() {
        let (sender, receiver) = mpsc::channel();
        sender.send("starting".to_owned()).unwrap();
        drop(sender);
        assert_eq!(watch(&receiver, Duration::from_secs(5), &mut |_| ()), None);
    }

    #[test]
    fn silence_times_out() {
        let (_sender, receiver) = mpsc::channel();
        let limit = Duration::from_millis(10);
        assert_eq!(
            watch(&receiver, limit, &mut |_| ()),
            Some(Outcome::TimedOut(limit))
        );
    }
}
