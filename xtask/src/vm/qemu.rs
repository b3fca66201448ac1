//! One boot in QEMU: the console line by line, until the guest says how it went, or dies, or takes too long.

use std::{
    fs,
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
    /// Of the kernel's command line.
    pub parameters: &'a str,
    pub processors: u32,
    /// The guest's clock ticks once for each instruction: its times are counts. One processor only.
    pub counted: bool,
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
    /// No line for so long.
    Hung(Duration),
    /// QEMU ended before the guest said anything.
    Silent(String),
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To its last word.
    pub whole: Duration,
    /// From one line to the next.
    pub silence: Duration,
}

/// A boot's end.
pub struct End {
    pub outcome: Outcome,
    /// What QEMU's threads took of the processors.
    pub processor: Duration,
}

/// Boots, hands each console line to `line`, and ends QEMU by its process id if it does not end itself.
///
/// # Errors
/// When QEMU cannot start.
pub fn boot(machine: &Machine<'_>, limits: Limits, mut line: impl FnMut(&str)) -> Result<End> {
    let mut command = command(machine);
    println!("$ {}", process::shown(&command));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut guest =
        Guest(child.with_context(|| format!("cannot start {}", machine.arch.qemu().0))?);
    let lines = read_lines(guest.0.stdout.take().context("QEMU has no console")?);
    let mut outcome = watch(&lines, limits, &mut line);
    if matches!(outcome, Some(Outcome::Success | Outcome::Failure)) {
        let limits = Limits {
            whole: POWER_OFF_LIMIT,
            silence: POWER_OFF_LIMIT,
        };
        // What the kernel says while it powers off; trouble here is no success.
        if let Some(trouble @ Outcome::KernelTrouble(_)) = watch(&lines, limits, &mut line) {
            outcome = Some(trouble);
        }
    }
    let processor = processor_time(guest.0.id());
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => Outcome::Silent(guest.0.wait()?.to_string()),
    };
    Ok(End { outcome, processor })
}

/// User and system time of all threads of a process that was not waited for, from /proc/PID/stat.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // utime and stime, fields 14 and 15; the second, the program's name in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every architecture that this runs on.
    Duration::from_millis(ticks * 10)
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
        parameters,
        processors,
        counted,
    } = machine;
    // Ctrl-C reaches QEMU, too; by SIGTERM or SIGKILL this process would leave it behind. The signal comes at the end of the
    // thread that started it, which is the one that waits for it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", arch.qemu().0]);
    // Emulation, never KVM: the same everywhere, nested CI machines included.
    if *counted {
        // An idle guest's clock jumps to its next timer.
        command.args([
            "-accel",
            "tcg,thread=single",
            "-icount",
            "shift=0,sleep=off",
        ]);
    } else {
        command.args(["-accel", "tcg,thread=multi"]);
    }
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
    // An oops ends one task, and the lab might go on; a warning goes unseen with `quiet`. Both are to end the boot.
    // Above 2, which is Linux' own and that of EKS' images, Debian's kernels want CAP_SYS_ADMIN for perf_event_open(2), and so for
    // kprobes: its default is 3.
    // What follows `--` are the arguments of init.
    let line = format!(
        "console={} quiet panic=-1 oops=panic panic_on_warn=1 sysctl.kernel.perf_event_paranoid=2 {} {parameters} -- guest",
        arch.console(),
        arch.parameters()
    );
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

/// Until something decides, a limit passes, or the console closes (`None`).
fn watch(lines: &Receiver<String>, limits: Limits, line: &mut impl FnMut(&str)) -> Option<Outcome> {
    let Limits { whole, silence } = limits;
    let begun = Instant::now();
    loop {
        let left = whole.saturating_sub(begun.elapsed());
        match lines.recv_timeout(left.min(silence)) {
            Ok(text) => {
                line(&text);
                if let Some(outcome) = decide(&text) {
                    return Some(outcome);
                }
            }
            Err(RecvTimeoutError::Timeout) if left <= silence => {
                return Some(Outcome::TimedOut(whole));
            }
            Err(RecvTimeoutError::Timeout) => return Some(Outcome::Hung(silence)),
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
        "kernel BUG at",
        "general protection fault",
        "invalid opcode",
        "WARNING: ",
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
    fn what_6_1_says_without_oops_or_bug_is_trouble_too() {
        let trouble = |line: &str| matches!(decide(line), Some(Outcome::KernelTrouble(_)));
        for line in [
            "[    9.1] general protection fault, probably for non-canonical address 0xdead: 0000 [#1] PREEMPT SMP PTI",
            "[    9.1] kernel BUG at mm/slub.c:435!",
            "[    9.1] invalid opcode: 0000 [#1] PREEMPT SMP PTI",
            "[    9.1] WARNING: CPU: 0 PID: 1 at kernel/trace/bpf_trace.c:2004",
        ] {
            assert!(trouble(line), "{line}");
        }
    }

    #[test]
    fn a_closed_console_is_no_success() {
        let (sender, receiver) = mpsc::channel();
        sender.send("starting".to_owned()).unwrap();
        drop(sender);
        let limits = limits(5_000, 5_000);
        assert_eq!(watch(&receiver, limits, &mut |_| ()), None);
    }

    fn limits(whole: u64, silence: u64) -> Limits {
        Limits {
            whole: Duration::from_millis(whole),
            silence: Duration::from_millis(silence),
        }
    }

    #[test]
    fn silence_ends_before_the_time_is_out() {
        let (sender, receiver) = mpsc::channel();
        let ended = |whole, silence| watch(&receiver, limits(whole, silence), &mut |_| ());
        let hung = Outcome::Hung(Duration::from_millis(10));
        assert_eq!(ended(60_000, 10), Some(hung));
        let late = Outcome::TimedOut(Duration::from_millis(10));
        assert_eq!(ended(10, 60_000), Some(late));
        drop(sender);
    }

    #[test]
    fn a_process_has_taken_time() {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(40) {
            std::hint::spin_loop();
        }
        let own = processor_time(std::process::id());
        assert!(own >= Duration::from_millis(10), "{own:?}");
        assert_eq!(processor_time(0), Duration::ZERO);
    }

    #[test]
    fn qemu_ends_with_its_parent() {
        let machine = Machine {
            arch: Arch::X86_64,
            kernel: Path::new("/k"),
            initramfs: Path::new("/i"),
            parameters: "lockdown=integrity",
            processors: 1,
            counted: false,
        };
        let shown = process::shown(&command(&machine));
        assert!(shown.starts_with("setpriv --pdeathsig KILL qemu-system-x86_64 "));
        assert!(shown.contains(" lockdown=integrity -- guest"), "{shown}");
    }
}
