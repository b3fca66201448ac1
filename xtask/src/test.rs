//! `cargo xtask test`: every test there is, with one summary line of its own at the end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    apt,
    build::{self, Built},
    daemon::Daemon,
    docs, e2e, examples, fuzz, manifests,
    node::Node,
    process,
    summary::{Counts, Format, run_counted},
    vm::{self, Backend},
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test                everything: unit and property tests, fuzzing shortly, end to end here, end to end in a VM
  cargo xtask test --unit         no root needed
  cargo xtask test --e2e --vm

The last line is `N passed, N failed, N skipped`; what is skipped says `skipped: why`.")]
pub struct Args {
    /// Unit and property tests.
    #[arg(long)]
    unit: bool,
    /// End to end on this machine's kernel (root): the lab's scenes and the evasion corpus on each backend it allows.
    #[arg(long)]
    e2e: bool,
    /// End to end on Debian's 6.1 and 6.12 kernels in QEMU: the scenes on fentry and kprobe, the evasion corpus on syscall, too.
    #[arg(long)]
    vm: bool,
    /// A few seconds of each fuzz target; see `cargo xtask fuzz`.
    #[arg(long)]
    fuzz: bool,
}

/// Exit code 1 if any test failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Args {
        unit,
        e2e,
        vm,
        fuzz,
    } = *args;
    let all = !(unit || e2e || vm || fuzz);
    let built = build::release()?;
    let mut counts = Counts::default();
    // End to end most of the time is waiting: the unit tests are compiled meanwhile, and run alone.
    let compiled = (unit || all).then(|| Beside::start("unit", &mut unit_command(&built, true)));
    let image_tools = (e2e || all).then(|| {
        let xtask = std::env::current_exe().context("this program's own path")?;
        Beside::start(
            "image-tools",
            Command::new(xtask).args(["image", "--tools"]),
        )
    });
    let fuzzers = (fuzz || all).then(|| Beside::start("fuzz", &mut fuzz::build_command()?));
    if e2e || all {
        counts += suite(
            "end to end here",
            "real events on each backend of this kernel",
            || end_to_end(&built),
        );
        counts += suite(
            "end to end with a real Prometheus",
            "alerts fire for what is played, and name the workloads",
            || e2e::prometheus_ci(&built),
        );
        counts += suite(
            "end to end with real containers",
            "the image, in what containerd and runc make and not the lab's imitation",
            || {
                if let Some(tools) = image_tools {
                    tools?.finish()?;
                }
                e2e::containerd_ci(&built)
            },
        );
    }
    if let Some(compiled) = compiled {
        counts += suite("unit and property tests", "pure parts, no root", || {
            compiled?.finish()?;
            unit_tests(&built)
        });
        counts += suite(
            "alerts, dashboard and runbooks",
            "promtool on what people are woken by",
            manifests::ci,
        );
        counts += suite("the documents' picture", "what people see first", || {
            docs::ci(&built)
        });
    }
    if e2e || all {
        counts += suite(
            "what is shipped",
            "OCSF's schema, and programs that others read lines with",
            || e2e::shipping_ci(&built),
        );
    }
    if e2e || all {
        counts += suite(
            "examples of the documents and of --help",
            "what people copy must run",
            || examples::ci(&built),
        );
    }
    if let Some(fuzzers) = fuzzers {
        let why = "decoders on input that nobody thought of";
        counts += suite("fuzzing, shortly", why, || {
            fuzzers?.finish()?;
            fuzz::short()
        });
    }
    if vm || all {
        counts += suite(
            "end to end in a VM",
            "backends that this kernel may refuse",
            || vm::boot(&vm::Args::ci(), &built),
        );
    }
    println!("{counts}");
    Ok(if counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A suite that cannot run at all is one failure.
fn suite(name: &str, why: &str, tests: impl FnOnce() -> Result<Counts>) -> Counts {
    let counts = process::step(name, why, tests);
    counts.unwrap_or_else(|error| {
        println!("failed: {name}: {error:#}");
        Counts {
            failed: 1,
            ..Counts::default()
        }
    })
}

fn unit_tests(built: &Built) -> Result<Counts> {
    let mut cargo = unit_command(built, false);
    cargo.env(e2e::FIXTURES, e2e::fixtures_file()?);
    run_counted(cargo.args(["--", "--show-output"]), Format::Libtest)
}

/// Of all packages, so that what they depend on is compiled once for all.
fn unit_command(built: &Built, only_compile: bool) -> Command {
    let mut cargo = cargo_test(built);
    cargo.args(["--workspace", "--exclude", "auditor-ebpf"]);
    cargo.args(["--lib", "--bin", "auditor", "--bin", "xtask"]);
    if only_compile {
        cargo.arg("--no-run");
    }
    cargo
}

/// A command that runs beside others, behind them for the processors; its output is kept until it has ended.
struct Beside {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Beside {
    /// `log` names the file that its output goes to.
    fn start(log: &str, command: &mut Command) -> Result<Self> {
        let name = process::shown(command);
        println!("$ {name} (beside what follows)");
        let output = process::target_directory().join(format!("beside-{log}.log"));
        let file = File::create(&output).with_context(|| output.display().to_string())?;
        let child = process::niced(command)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        Ok(Self {
            name,
            child,
            output,
        })
    }

    /// Waits for its end and shows what it wrote.
    fn finish(mut self) -> Result<()> {
        let status = self.child.wait()?;
        println!("$ {}", self.name);
        print!("{}", String::from_utf8_lossy(&fs::read(&self.output)?));
        ensure!(status.success(), "`{}` failed: {status}", self.name);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn end_to_end(built: &Built) -> Result<Counts> {
    if !process::is_root() {
        println!(
            "skipped: end to end on this kernel: not root (mounts, cgroups, namespaces and BPF need it)"
        );
        return Ok(Counts {
            skipped: 1,
            ..Counts::default()
        });
    }
    for (program, package) in [("jq", "jq"), ("ip", "iproute2")] {
        if let Err(error) = apt::ensure_program(program, package, "the documents' examples are run")
        {
            println!("{error:#}");
        }
    }
    let mut counts = Counts::default();
    let (beside, one_by_one): (Vec<_>, Vec<_>) = end_to_end_targets()?
        .into_iter()
        .partition(|target| SIDE_BY_SIDE.contains(&target.as_str()));
    for (targets, threads) in [(beside, 6), (one_by_one, 1)] {
        let mut cargo = cargo_test(built);
        // The package of the release build: with others the features of what it depends on differ, and all would be compiled again.
        cargo.args(["--release", "-p", "lab"]);
        cargo.args(targets.iter().flat_map(|target| ["--test", target]));
        cargo.args(["--", "--show-output"]);
        cargo.arg(format!("--test-threads={threads}"));
        counts += run_counted(&mut cargo, Format::Libtest)?;
    }
    let mut probes = Command::new(&built.lab);
    probes.arg("probes").arg("--auditor").arg(&built.auditor);
    counts += vm::check_here(&mut probes)?;
    let mut played = false;
    for backend in Backend::ALL {
        match attaches(&built.auditor, backend.name()) {
            Ok(None) => {
                counts += lab(built, "play", backend.name())?;
                counts += lab(built, "evade", backend.name())?;
                played = true;
            }
            Ok(Some(why)) => {
                println!(
                    "skipped: scenes on {}: this kernel refuses it: {why}",
                    backend.name()
                );
                counts.skipped += 1;
            }
            Err(why) => {
                println!("failed: the auditor on {}: {why:#}", backend.name());
                counts.failed += 1;
            }
        }
    }
    if !played {
        println!("failed: no backend attaches on this kernel, so no scene was played");
        counts.failed += 1;
    }
    Ok(counts)
}

/// Their tests wait most of the time, and have no lab or one that may stand beside others. For all others there is one node
/// in miniature at a time.
const SIDE_BY_SIDE: [&str; 2] = ["kube", "self_test"];

/// The lab's test targets, as cargo finds them: a file or a directory with a main.rs each.
fn end_to_end_targets() -> Result<Vec<String>> {
    let directory = process::workspace().join("tests/tests");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            || path.join("main.rs").is_file()
        {
            targets.extend(
                path.file_stem()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    targets.sort();
    Ok(targets)
}

/// `play`: the scenes; `evade`: the evasion corpus.
fn lab(built: &Built, what: &str, backend: &str) -> Result<Counts> {
    let mut lab = Command::new(&built.lab);
    lab.arg(what).arg("--auditor").arg(&built.auditor);
    run_counted(lab.args(["--backend", backend]), Format::Lab)
}

/// Whether the kernel lets this backend attach, tried with the real auditor: its reason where it refuses it, an error where
/// anything else is wrong. A backend broken everywhere is caught by the VM test, where none may be refused.
fn attaches(auditor: &Path, backend: &str) -> Result<Option<String>> {
    let directory = format!("eks-credential-auditor-probe-{}", std::process::id());
    let node = Node::create(&std::env::temp_dir().join(directory), 0, 0)?;
    match Daemon::start(auditor, &node, backend) {
        Ok(_) => Ok(None),
        Err(error) => match refusal(&format!("{error:#}")) {
            Some(why) => Ok(Some(why.to_owned())),
            None => Err(error),
        },
    }
}

/// The kernel's reason, where the auditor's last word is that this kernel refuses what it needs; as the lab's own
/// (tests/src/play.rs).
fn refusal(error: &str) -> Option<&str> {
    let refusals = [
        "no way to watch ",
        "cannot load the BPF object",
        "this kernel's BTF has none of ",
    ];
    let (_, why) = error.split_once("auditor: ")?;
    refusals
        .iter()
        .any(|start| why.starts_with(start))
        .then_some(why)
}

fn cargo_test(built: &Built) -> Command {
    let mut cargo = process::cargo();
    cargo
        .args(["test", "--no-fail-fast"])
        .envs(built.toolchain.environment());
    // What the end-to-end tests drive; see tests/tests/support.
    cargo.env("AUDITOR_BIN", &built.auditor);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_word_is_a_refusal() {
        let refused = "auditor: no way to watch file_open works on this kernel: fentry: errno 524";
        assert_eq!(refusal(refused), refused.strip_prefix("auditor: "));
        for other in [
            "auditor: --cluster: no such file: `auditor run` ended before it was ready",
            "it logged nothing: `auditor run` was not ready after 60 s",
        ] {
            assert_eq!(refusal(other), None, "{other}");
        }
    }
}
