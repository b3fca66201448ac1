//! One guest: its kernel, what it is given to do, and what its console makes of it.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Args, Backend, TemporaryFile,
    arch::Arch,
    initramfs::{self, Contents},
    kernels::{Kernel, Line},
    matrix::{Cell, Column, Console},
    modules,
    qemu::{self, Machine, Outcome},
    verified,
};
use crate::{
    apt,
    build::Built,
    summary::{Counts, Format, Tally},
};

/// What the lab makes its node of and the cloud kernel has as modules.
const MODULES: [&str; 3] = ["veth", "overlay", "dummy"];
/// Played with `--backend auto`, which must choose by itself.
const AUTO_SCENE: &str = "own-irsa";

/// A kernel line on an architecture.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub line: &'static Line,
    pub arch: Arch,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.line.name, self.arch.name())
    }
}

/// What goes into the guests of an architecture.
pub struct Binaries {
    pub arch: Arch,
    pub auditor: PathBuf,
    pub lab: PathBuf,
    pub helpers: Vec<PathBuf>,
    /// For exec probes that are scripts or `sh -c`.
    pub shell: PathBuf,
}

impl Binaries {
    pub fn host(arch: Arch, built: &Built) -> Self {
        Self::foreign(arch, built, PathBuf::from("/bin/sh"))
    }

    pub fn foreign(arch: Arch, built: &Built, shell: PathBuf) -> Self {
        Self {
            arch,
            auditor: built.auditor.clone(),
            lab: built.lab.clone(),
            helpers: built.helpers.clone(),
            shell,
        }
    }
}

/// A guest, ready to boot.
pub struct Guest {
    target: Target,
    kernel: Kernel,
    initramfs: TemporaryFile,
    jobs: usize,
}

/// How a boot went.
pub struct Report {
    pub target: Target,
    pub column: Console,
    pub counts: Counts,
    /// What is wrong and is no scene's.
    pub notes: Vec<String>,
    pub took: Duration,
}

/// Fetches the kernel and packs the guest's root.
pub fn prepare(target: Target, binaries: &Binaries, args: &Args) -> Result<Guest> {
    let (program, package) = target.arch.qemu();
    apt::ensure_program(program, package, "boots the kernel without KVM")?;
    apt::ensure_program("xz", "xz-utils", "unpacks kernel modules")?;
    let kernel = target.line.kernel(target.arch)?;
    let job = job(args);
    let contents = initramfs::build(&Contents {
        binaries,
        modules: &modules::collect(&kernel.modules, &MODULES)?,
        job: &job,
    })?;
    println!(
        "==> {target}: {}, initramfs {} MiB",
        kernel.package,
        contents.len() >> 20
    );
    let name = format!("{}-{}", target.line.name, target.arch.name());
    Ok(Guest {
        target,
        kernel,
        initramfs: TemporaryFile::write(&name, &contents)?,
        jobs: job.lines().count(),
    })
}

/// Boots it, and judges its console.
pub fn run(guest: &Guest, args: &Args) -> Result<Report> {
    let target = guest.target;
    let begun = Instant::now();
    let mut tally = Tally::new(Format::Lab);
    let mut console = Console::default();
    let machine = Machine {
        arch: target.arch,
        kernel: &guest.kernel.image,
        initramfs: &guest.initramfs.0,
        processors: args.smp,
    };
    let outcome = qemu::boot(&machine, Duration::from_secs(args.timeout), |text| {
        let at = begun.elapsed();
        println!("{target}|{:4}s| {text}", at.as_secs());
        tally.line(text);
        console.line(text, at);
    })?;
    let mut notes = judge(target, &console, args);
    if let Some(trouble) = trouble(&outcome) {
        notes.push(trouble);
    }
    if console.jobs() != guest.jobs {
        notes.push(format!("{} of {} jobs begun", console.jobs(), guest.jobs));
    }
    let probes = console.probes();
    let counted = if args.record {
        verified::record(&target.to_string(), probes).map(|()| Vec::new())
    } else {
        verified::check(&target.to_string(), probes)
    };
    notes.extend(counted.unwrap_or_else(|error| vec![format!("{error:#}")]));
    let mut counts = if args.probes {
        // No command there ends with a summary.
        Counts {
            passed: u32::from(notes.is_empty() && outcome == Outcome::Success),
            failed: u32::from(outcome != Outcome::Success),
            skipped: 0,
        }
    } else {
        tally.finish(outcome == Outcome::Success)
    };
    counts.failed += u32::try_from(notes.len()).unwrap_or(u32::MAX);
    if target.line.best_effort {
        // Shown, never a failure.
        counts = Counts {
            passed: counts.passed,
            failed: 0,
            skipped: counts.skipped + counts.failed,
        };
    }
    Ok(Report {
        target,
        column: console,
        counts,
        notes,
        took: begun.elapsed(),
    })
}

fn trouble(outcome: &Outcome) -> Option<String> {
    match outcome {
        // Its failures are counted one by one.
        Outcome::Success | Outcome::Failure => None,
        Outcome::KernelTrouble(message) => {
            Some(format!("the guest's kernel is in trouble: {message}"))
        }
        Outcome::TimedOut(limit) => Some(format!(
            "no end after {} s (--timeout), guest stopped",
            limit.as_secs()
        )),
        Outcome::Silent(status) => Some(format!(
            "QEMU ended ({status}) before the guest said success or failure"
        )),
    }
}

/// What the columns show that no scene's result tells.
fn judge(target: Target, console: &Console, args: &Args) -> Vec<String> {
    let mut notes = Vec::new();
    let best = Backend::ALL
        .into_iter()
        .find(|backend| !target.line.refuses(target.arch, *backend))
        .map(Backend::name);
    for Column {
        backend,
        refused,
        chosen,
        ended,
    } in console.columns()
    {
        if !ended {
            notes.push(format!("{backend}: the scenes did not end"));
        }
        let expected = Backend::ALL
            .into_iter()
            .any(|known| known.name() == backend && target.line.refuses(target.arch, known));
        match refused {
            Some(why) if !expected => notes.push(format!("{backend} is refused: {why}")),
            Some(_) if console.any(backend, |cell| cell != Cell::Skipped) => {
                notes.push(format!("{backend} is refused after its first scenes"));
            }
            _ => {}
        }
        if backend == "auto" && !target.line.best_effort && chosen.as_deref() != best {
            notes.push(format!(
                "--backend auto watches opens by {}, not by {}",
                chosen.as_deref().unwrap_or("nothing"),
                best.unwrap_or("nothing")
            ));
        }
    }
    let wanted = if args.probes {
        0
    } else {
        args.backends().len() + 1
    };
    if console.columns().len() != wanted {
        notes.push(format!(
            "{} of {wanted} backends were tried",
            console.columns().len()
        ));
    }
    notes
}

/// The guest's job: one `lab` command line a line.
fn job(args: &Args) -> String {
    let mut lines = "probes --auditor /auditor\n".to_owned();
    if args.probes {
        return lines;
    }
    let mut play = |what: &str, backend: &str, names: &[String]| {
        lines.push_str(&format!(
            "{what} --auditor /auditor --backend {backend} --accept-refusal --color never"
        ));
        for name in names {
            lines.push_str(&format!(" --scene {name}"));
        }
        lines.push('\n');
    };
    play("play", "auto", &[AUTO_SCENE.to_owned()]);
    let all = args.scene.is_empty() && args.technique.is_empty();
    for backend in args.backends() {
        if all || !args.scene.is_empty() {
            play("play", backend.name(), &args.scene);
        }
        if all || !args.technique.is_empty() {
            play("evade", backend.name(), &args.technique);
        }
    }
    if let Some(cycles) = args.churn {
        for backend in args.backends() {
            let backend = backend.name();
            lines.push_str(&format!(
                "churn --auditor /auditor --backend {backend} --cycles {cycles}\n"
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels;

    fn target(name: &str, arch: Arch) -> Target {
        let line = kernels::lines(&[name.to_owned()]).unwrap()[0];
        Target { line, arch }
    }

    fn console(text: &str) -> Console {
        let mut console = Console::default();
        text.lines()
            .for_each(|line| console.line(line, Duration::ZERO));
        console
    }

    #[test]
    fn a_job_is_one_command_a_line() {
        let args = Args {
            scene: vec!["a".into()],
            technique: vec!["b".into()],
            backend: vec![Backend::Fentry],
            churn: Some(9),
            ..Args::default()
        };
        let expected = "probes --auditor /auditor\n\
            play --auditor /auditor --backend auto --accept-refusal --color never --scene own-irsa\n\
            play --auditor /auditor --backend fentry --accept-refusal --color never --scene a\n\
            evade --auditor /auditor --backend fentry --accept-refusal --color never --scene b\n\
            churn --auditor /auditor --backend fentry --cycles 9\n";
        assert_eq!(job(&args), expected);
        let args = Args {
            probes: true,
            ..Args::default()
        };
        assert_eq!(job(&args), "probes --auditor /auditor\n");
    }

    const KPROBE_TAKES_OVER: &str = "guest: lab play --backend auto\n\
        auditor 0.1.0 on 6.1: connect by kprobe, file_open by kprobe\n\
        ok   own-irsa  opens\n\
        1 passed, 0 failed\n\
        guest: lab play --backend fentry\n\
        refused fentry: no way to watch file_open: errno 524\n\
        0 passed, 0 failed, 1 skipped\n\
        guest: lab play --backend kprobe\n\
        ok   own-irsa  opens\n\
        1 passed, 0 failed\n";

    #[test]
    fn a_refusal_is_right_only_where_it_is_expected() {
        let judged = |name, arch| {
            judge(
                target(name, arch),
                &console(KPROBE_TAKES_OVER),
                &Args::default(),
            )
        };
        assert!(judged("6.1", Arch::Aarch64).is_empty());
        let notes = judged("6.12", Arch::Aarch64);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("by kprobe, not by fentry"));
        assert!(notes[1].contains("errno 524"));
    }

    #[test]
    fn a_backend_that_was_not_tried_is_noted() {
        let notes = judge(
            target("6.1", Arch::X86_64),
            &console("guest: lab play --backend auto\nauditor 1 on 6: file_open by fentry\n"),
            &Args::default(),
        );
        assert_eq!(
            notes,
            ["auto: the scenes did not end", "1 of 3 backends were tried"]
        );
    }
}
