//! Flood control: a flood is told of by its first events and by counts that add up, and nobody else's events are folded with it.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{
    node::Pod,
    scene::{associated, host_path_of},
};
use serde_json::Value;
use stage::{Daemon, Stage, count, lost};
use support::{Tail, is_root};

/// One executable's burst, and a cgroup's (`auditor-common/src/flood.rs`).
const PER_EXECUTABLE: u64 = 32;
const PER_CGROUP: u64 = 128;
/// So many a second afterwards.
const CGROUP_RATE: u64 = 32;
const AGENT: &str = "169.254.170.23:80";

/// A node with an auditor that folds floods.
struct Watched {
    stage: Stage,
    daemon: Daemon,
    lines: Tail,
}

impl Watched {
    fn new(prepare: impl FnOnce(&mut Stage) -> Result<()>) -> Result<Self> {
        let mut stage = Stage::new()?;
        stage.flood_control = true;
        prepare(&mut stage)?;
        let output = stage.lab.dir().join("out.jsonl");
        let mut command = stage.command()?;
        command.arg("--output-file").arg(&output);
        let daemon = Daemon::start(&stage, command)?;
        let mut lines = Tail::new(&output);
        lines
            .until("ready", |line| line["event"] == "ready")
            .with_context(|| daemon.log())?;
        Ok(Self {
            stage,
            daemon,
            lines,
        })
    }

    /// All further lines; what the summaries told adds up to what `stopped` says.
    fn stop(mut self) -> Result<(Stage, Vec<Value>)> {
        ensure!(self.daemon.stop()?.success(), "{}", self.daemon.log());
        Ok((self.stage, self.lines.rest()?))
    }
}

fn is_summary(line: &Value, of: &str) -> bool {
    line["event"] == "summary" && line["of"] == of
}

fn sum(lines: &[Value], fits: impl Fn(&Value) -> bool) -> u64 {
    let fitting = lines.iter().filter(|line| fits(line));
    fitting.filter_map(|line| line["count"].as_u64()).sum()
}

fn is_open(line: &Value, by: &Pod, of: &Pod) -> bool {
    line["event"] == "token_open"
        && line["pod"]["uid"] == *by.spec.uid
        && line["token"]["owner"]["uid"] == *of.spec.uid
}

/// The counts of all summaries against `stopped`, which ends the lines and adds up to what matched (`Account`).
fn adds_up(lines: &[Value]) -> Result<u64> {
    let stopped = lines.last().context("no line")?;
    let told = sum(lines, |line| line["event"] == "summary");
    ensure!(stopped["flooded"] == told, "{told} were told of: {stopped}");
    Ok(told)
}

#[test]
fn a_flood_of_own_opens_is_folded_to_its_exact_count_and_a_theft_in_it_comes_through() -> Result<()>
{
    if !is_root() {
        return Ok(());
    }
    const MANY: u32 = 100_000;
    let mut watched = Watched::new(|_| Ok(()))?;
    watched.stage.flood_meanwhile(MANY)?;
    thread::sleep(Duration::from_millis(100));
    watched.stage.steal()?;
    let stage = &watched.stage;
    let mut lines = watched
        .lines
        .until("the theft", |line| stage.is_theft(line))?;
    let theft = lines.last().context("no line")?;
    ensure!(theft["process"]["exe"].is_string(), "{theft}");
    // The flood goes on behind, and this is all of it.
    let all = |lines: &[Value]| {
        count(lines, |line| stage.is_noise(line))
            + sum(lines, |line| is_summary(line, "token_open"))
    };
    while all(&lines) < u64::from(MANY) {
        let more = watched
            .lines
            .until("the rest", |line| line["event"] == "summary")?;
        lines.extend(more);
    }
    let (stage, rest) = watched.stop()?;
    lines.extend(rest);
    let folded = adds_up(&lines)?;
    let noise = count(&lines, |line| stage.is_noise(line));
    println!("{MANY} opens: {noise} lines, {folded} folded");
    ensure!(noise + folded == u64::from(MANY), "{noise} + {folded}");
    ensure!(folded * 10 > u64::from(MANY) * 9, "{folded}");
    ensure!(lost(&lines, "ring-full") == 0);
    let summary = lines
        .iter()
        .find(|line| is_summary(line, "token_open"))
        .context("no summary")?;
    ensure!(
        summary["pod"]["uid"] == *stage.noisy.spec.uid
            && summary["relation"] == "own"
            && summary["stranger"] == false
            && summary["exe_inode"].is_string(),
        "{summary}"
    );
    Ok(())
}

#[test]
fn fifty_copies_of_a_program_gain_nothing() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const COPIES: u64 = 50;
    let mut watched = Watched::new(|_| Ok(()))?;
    let path = watched.stage.own_token()?;
    let script = format!(
        "set -e; for n in $(seq {COPIES}); do cp $(command -v peek) /tmp/peek$n; done; \
         for n in $(seq {COPIES}); do /tmp/peek$n --times 200 {path} >/dev/null; done"
    );
    let begun = std::time::Instant::now();
    let noisy = &watched.stage.noisy;
    watched.stage.lab.run(noisy, &["sh", "-c", &script])?;
    let seconds = begun.elapsed().as_secs() + 1;
    let (stage, lines) = watched.stop()?;
    let folded = adds_up(&lines)?;
    let noise = count(&lines, |line| stage.is_noise(line));
    println!("{COPIES} copies in {seconds} s: {noise} lines, {folded} folded");
    ensure!(noise + folded == COPIES * 200, "{noise} + {folded}");
    // Two CPUs may let one more through now and then.
    ensure!(noise <= PER_CGROUP + CGROUP_RATE * seconds + 8, "{noise}");
    ensure!(noise > PER_EXECUTABLE, "one executable alone: {noise}");
    Ok(())
}

#[test]
fn an_exec_session_is_not_folded_with_its_pods_noise() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const MANY: u32 = 20_000;
    const IN_SESSION: u64 = 200;
    let mut watched = Watched::new(|_| Ok(()))?;
    let path = watched.stage.own_token()?;
    watched.stage.flood(MANY)?;
    // By the same program, which has nothing left in its own bucket nor in its cgroup's.
    let (lab, noisy) = (&mut watched.stage.lab, &watched.stage.noisy);
    lab.exec(noisy, &["peek", &path])?;
    let times = IN_SESSION.to_string();
    lab.exec(noisy, &["peek", "--times", &times, &path])?;
    let (stage, lines) = watched.stop()?;
    adds_up(&lines)?;
    let totals = [true, false].map(|session| {
        let told = count(&lines, |line| {
            stage.is_noise(line) && line["process"]["exec_session"] == session
        });
        let folded = sum(&lines, |line| {
            is_summary(line, "token_open") && line["exec_session"] == session
        });
        (told, folded)
    });
    let [(told, folded), noise] = totals;
    println!("in sessions {told} lines, {folded} folded; noise {noise:?}");
    ensure!(told + folded == 1 + IN_SESSION && folded > 0);
    ensure!(noise.0 + noise.1 == u64::from(MANY) && noise.1 > 0);
    // Both sessions began with all there is.
    ensure!(told > PER_EXECUTABLE, "{told}");
    Ok(())
}

#[test]
fn noise_at_one_victim_folds_no_theft_from_another() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const MANY: u64 = 20_000;
    let mut other = None;
    let mut watched = Watched::new(|stage| {
        other = Some(associated(&mut stage.lab, "payments", "vault")?.0);
        Ok(())
    })?;
    let other = other.context("no victim")?;
    let stage = &mut watched.stage;
    let path = host_path_of(&stage.victim);
    stage
        .lab
        .run(&stage.thief, &["peek", "--times", &MANY.to_string(), &path])?;
    stage
        .lab
        .run(&stage.thief, &["peek", &host_path_of(&other)])?;
    let (stage, lines) = watched.stop()?;
    let folded = adds_up(&lines)?;
    let told = count(&lines, |line| is_open(line, &stage.thief, &stage.victim));
    println!("{MANY} thefts: {told} lines, {folded} folded");
    ensure!(told + folded == MANY && told >= PER_EXECUTABLE, "{told}");
    ensure!(count(&lines, |line| is_open(line, &stage.thief, &other)) == 1);
    let summary = lines
        .iter()
        .find(|line| is_summary(line, "token_open"))
        .context("no summary")?;
    ensure!(
        summary["stranger"] == true
            && summary["relation"] == "other-pod"
            && summary["pod"]["uid"] == *stage.thief.spec.uid
            && summary["token"]["owner"]["uid"] == *stage.victim.spec.uid,
        "{summary}"
    );
    Ok(())
}

#[test]
fn a_flood_of_connects_is_folded_with_what_comes_of_it_and_is_not_stealthy() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const MANY: u64 = 400;
    let mut client = None;
    let mut watched = Watched::new(|stage| {
        stage.lab.start_agent()?;
        client = Some(associated(&mut stage.lab, "shop", "client")?.0);
        Ok(())
    })?;
    let client = client.context("no client")?;
    let script =
        format!("set -e; for n in $(seq {MANY}); do dial --may-fail {AGENT} >/dev/null; done");
    watched.stage.lab.run(&client, &["sh", "-c", &script])?;
    let (_, lines) = watched.stop()?;
    adds_up(&lines)?;
    let connects = count(&lines, |line| {
        line["event"] == "credential_connect" && line["pod"]["uid"] == *client.spec.uid
    });
    let folded = |of: &str| sum(&lines, |line| is_summary(line, of));
    println!(
        "{MANY} connects: {connects} lines, {} folded, with {} outcomes, {} closes, {} accepts",
        folded("credential_connect"),
        folded("connect_outcome"),
        folded("connection_closed"),
        folded("agent_accept"),
    );
    ensure!(connects >= PER_EXECUTABLE);
    ensure!(connects + folded("credential_connect") == MANY);
    ensure!(folded("credential_connect") > 0);
    ensure!(folded("connect_outcome") == folded("credential_connect"));
    let stealthy = |line: &Value| line["event"] == "agent_accept";
    ensure!(
        count(&lines, stealthy) == 0,
        "{:?}",
        lines.iter().find(|line| stealthy(line))
    );
    Ok(())
}

#[test]
fn what_is_below_the_rate_is_never_folded() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const TIMES: u64 = 60;
    let mut watched = Watched::new(|_| Ok(()))?;
    for _ in 0..TIMES {
        watched.stage.flood(1)?;
        thread::sleep(Duration::from_millis(130));
    }
    let (stage, lines) = watched.stop()?;
    ensure!(adds_up(&lines)? == 0);
    ensure!(count(&lines, |line| stage.is_noise(line)) == TIMES);
    Ok(())
}
