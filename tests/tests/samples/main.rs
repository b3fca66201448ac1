//! `docs/samples/`: one line of each type, as JSON and as OCSF, from real runs. With UPDATE_SAMPLES=1 they are played and written
//! anew; always each is held against what a line must be. What only fentry and kprobe see is played in a VM, where this kernel
//! refuses both: SAMPLES_FROM names what `cargo xtask vm-test --lines` printed (`docs/samples/README.md`).

mod normal;
mod pretty;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::{
    auditor::{self, Options, ocsf, schema},
    play::{self, Play, Scores},
    report::{Color, Paint},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stage::{Daemon, Stage};
use support::{Tail, backend, helpers, is_root};

/// What is played for the sample of each type of event, and what its line must have; without a scene, how else it comes.
const PLAYED: [(&str, &str, &str); 9] = [
    (
        "token_open",
        "theft-through-host-path",
        "foreign-token-open",
    ),
    (
        "token_received",
        "received-by-message",
        "foreign-token-received",
    ),
    (
        "credential_connect",
        "unassociated-pod-at-agent",
        "unassociated-agent-connect",
    ),
    ("connection_closed", "imds-fallback", "node-role-fallback"),
    (
        "agent_accept",
        "raw-tcp-to-agent",
        "stealth-agent-connection",
    ),
    ("listen", "impostor-in-own-network", "agent-impersonation"),
    (
        "memory_access",
        "memory-from-another-pod",
        "credential-memory-access",
    ),
    ("socket_create", "raw-sockets", "raw-socket"),
    ("finding", "identity-not-injected", "identity-not-injected"),
];
/// Those that no scene brings about.
const OTHERS: [&str; 5] = ["ready", "stopped", "health", "summary", "loss"];
/// What only fentry and kprobe see: a kernel that refuses both leaves these samples as they are.
const HOOKED: [&str; 3] = ["token_received", "memory_access", "socket_create"];
/// More than the rings hold.
const MANY: u32 = 4_000;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples")
}

#[test]
fn every_type_has_a_sample_and_each_is_as_a_line_must_be() -> Result<()> {
    if env::var_os("UPDATE_SAMPLES").is_some() {
        ensure!(is_root(), "the samples are played: that needs root");
        write("json", "events")?;
        write("ocsf", "ocsf")?;
    }
    let types = schema::event_types()?;
    let mut all: Vec<&str> = PLAYED
        .iter()
        .map(|(event, ..)| *event)
        .chain(OTHERS)
        .collect();
    all.sort_unstable();
    ensure!(types == all, "played {all:?} of {types:?}");
    for event in all {
        let line = read("events", event)?;
        ensure!(line["event"] == event);
        schema::check(&line).with_context(|| format!("docs/samples/events/{event}.json"))?;
        let activity = read("ocsf", event)?;
        // What it is read back as is the whole line.
        let again = ocsf::line(&activity, None)
            .and_then(|line| line.context("not an event of its own"))
            .with_context(|| format!("docs/samples/ocsf/{event}.json"))?;
        schema::check(&again).with_context(|| format!("docs/samples/ocsf/{event}.json"))?;
        ensure!(
            again["event"] == event && keys(&again) == keys(&line),
            "{event}: other fields"
        );
        let has_finding =
            event != "finding" && line["findings"].as_array().is_some_and(|f| !f.is_empty());
        let finding = read("ocsf", &format!("{event}.finding"));
        ensure!(
            finding.is_ok() == has_finding,
            "{event}: findings {has_finding}"
        );
        if let Ok(finding) = finding {
            ensure!(ocsf::line(&finding, Some(&activity))?.is_none());
        }
    }
    Ok(())
}

fn keys(line: &Value) -> Vec<&String> {
    line.as_object()
        .into_iter()
        .flat_map(|members| members.keys())
        .collect()
}

fn path(kind: &str, name: &str) -> PathBuf {
    directory().join(kind).join(format!("{name}.json"))
}

fn read(kind: &str, name: &str) -> Result<Value> {
    let path = path(kind, name);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{}: run it with UPDATE_SAMPLES=1, as root", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Plays everything with this `--output`, and writes its samples to docs/samples/`kind`.
fn write(output: &str, kind: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut samples = BTreeMap::new();
    let played = scratch.path().join("played.jsonl");
    play(output, &played)?;
    let mut lines = texts(&played)?;
    if let Some(console) = env::var_os("SAMPLES_FROM") {
        lines.extend(printed(Path::new(&console), output)?);
    }
    for (event, _, finding) in PLAYED {
        match pick(&lines, event, Some(finding)) {
            Err(error) if HOOKED.contains(&event) => {
                println!("{error:#}: its sample stays as it is")
            }
            picked => {
                samples.insert(event, picked?);
            }
        }
    }
    for event in ["ready", "stopped"] {
        samples.insert(event, pick(&lines, event, None)?);
    }
    let mut flooded = texts(&flood(output, scratch.path())?)?;
    // What a kernel lacks is told at the start; the sample is of what everybody may see.
    flooded.retain(|text| !text.contains(r#":"degraded""#));
    for event in ["summary", "health", "loss"] {
        samples.insert(event, pick(&flooded, event, None)?);
    }
    fs::create_dir_all(directory().join(kind))?;
    for (event, texts) in samples {
        // It may have had a finding before.
        let _ = fs::remove_file(path(kind, &format!("{event}.finding")));
        for (text, suffix) in normal::texts(&texts)?.iter().zip(["", ".finding"]) {
            let text = pretty::print(text);
            fs::write(path(kind, &format!("{event}{suffix}")), text)?;
        }
    }
    Ok(())
}

fn play(output: &str, to: &Path) -> Result<()> {
    let mut scenes: Vec<String> = PLAYED
        .iter()
        .map(|(_, scene, _)| (*scene).to_owned())
        .collect();
    scenes.dedup();
    let Scores(scores) = play::run(&Play {
        auditor: Options {
            program: support::auditor(),
            backend: backend(),
            output: to.to_owned(),
            args: vec!["--output".into(), output.into()],
            env: Vec::new(),
            without: Vec::new(),
        },
        helpers: helpers(),
        scenes,
        corpus: false,
        simulate: false,
        must_choose: None,
        keep: false,
        paint: Paint::new(Color::Never),
    })?;
    ensure!(scores.iter().all(|score| score.failed == 0), "{scores:?}");
    Ok(())
}

/// A flood that is folded, a policy that is refused, and then a loss: the auditor stands still while there is another flood,
/// by many programs, so that it is not folded.
fn flood(output: &str, directory: &Path) -> Result<PathBuf> {
    let to = directory.join("flooded.jsonl");
    let mut stage = Stage::new()?;
    for flood_control in [true, false] {
        stage.flood_control = flood_control;
        let part = directory.join(format!("flooded-{flood_control}.jsonl"));
        let mut command = stage.command()?;
        command
            .args(["--output", output])
            .arg("--output-file")
            .arg(&part);
        let mut daemon = Daemon::start(&stage, command)?;
        let mut lines = Tail::new(&part);
        lines.until("ready", |line| line["event"] == "ready")?;
        if flood_control {
            stage.flood(MANY)?;
            lines.until("a summary", |line| line["event"] == "summary")?;
            let policy = stage.lab.policy_file();
            let before = fs::read(&policy)?;
            fs::write(&policy, "version: 1\nexempted: []\n")?;
            lines.until("the refusal", |line| line["event"] == "health")?;
            fs::write(&policy, before)?;
        } else {
            let pid = Pid::from_raw(daemon.child.id().try_into()?).context("no pid")?;
            kill_process(pid, Signal::STOP)?;
            let flood = stage.flood(MANY);
            kill_process(pid, Signal::CONT)?;
            flood?;
            lines.until("the loss", |line| line["event"] == "loss")?;
        }
        ensure!(daemon.stop()?.success(), "{}", daemon.log());
        let mut all = fs::read(&to).unwrap_or_default();
        all.extend(fs::read(&part)?);
        fs::write(&to, all)?;
    }
    Ok(to)
}

/// The lines among what a guest's console shows, of the runs with this `--output`.
fn printed(console: &Path, output: &str) -> Result<Vec<String>> {
    let begins = |text: &str| text.find('{').map(|at| text[at..].to_owned());
    let is_ocsf = |text: &String| text.contains(r#""class_uid""#);
    let lines = texts(console)?.into_iter().filter_map(|text| begins(&text));
    Ok(lines
        .filter(|text| serde_json::from_str::<Value>(text).is_ok_and(|line| line.is_object()))
        .filter(|text| is_ocsf(text) == (output == "ocsf"))
        .collect())
}

fn texts(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The first line of this type with this finding, and the finding that follows it in OCSF.
fn pick(texts: &[String], event: &str, finding: Option<&str>) -> Result<Vec<String>> {
    let fits = |line: &Value| {
        let mut findings = line["findings"].as_array().into_iter().flatten();
        line["event"] == event
            && finding.is_none_or(|finding| findings.any(|found| found["id"] == finding))
    };
    let at = texts
        .iter()
        .position(|text| auditor::parse(text).is_some_and(|line| fits(&line)))
        .with_context(|| format!("no {event} with {finding:?}"))?;
    let is_second = |text: &&String| auditor::parse(text).is_none();
    let second = texts.get(at + 1).filter(is_second).cloned();
    Ok([texts[at].clone()].into_iter().chain(second).collect())
}
