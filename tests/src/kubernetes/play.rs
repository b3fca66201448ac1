//! Plays the scenes against a real API server while the real auditor runs.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    control::Control,
    scene::{self, Health, Scene},
    server::Programs,
};
use crate::{
    auditor::{self, Auditor},
    expect::Tally,
    node::{Lab, PodSpec, cluster::ROLES},
    patience,
    play::{Fence, Score, finish, introduction},
    report::{self, Mark, Paint},
};

pub struct Options {
    pub auditor: auditor::Options,
    pub helpers: PathBuf,
    pub programs: Programs,
    /// All of them where empty.
    pub scenes: Vec<String>,
    pub paint: Paint,
}

/// The node, its control plane and the auditor.
pub struct Stage {
    pub control: Control,
    auditor: Auditor,
    fence: Fence,
    /// Lines that came while a scene waited for another.
    early: Vec<Value>,
    /// `health` lines that no scene has waited for yet.
    health: Vec<Value>,
}

pub fn run(options: &Options) -> Result<Score> {
    let scenes = scene::chosen(&options.scenes)?;
    let mut stage = Stage::new(options)?;
    let mut score = Score::default();
    for scene in scenes {
        let before = stage.control.lab.pod_count();
        let (mark, lines, trouble) = match stage.perform(scene) {
            Ok((tally, lines)) if tally.exact() => (Mark::Passed, lines, String::new()),
            Ok((tally, lines)) => (Mark::Failed, lines, tally.to_string()),
            Err(e) => (Mark::Failed, Vec::new(), format!("{e:#}")),
        };
        println!(
            "{}",
            report::scene(options.paint, mark, scene.name, scene.about, &lines)
        );
        for line in trouble.lines() {
            println!("       {line}");
        }
        match mark {
            Mark::Passed => score.passed += 1,
            Mark::Failed => score.failed += 1,
            Mark::Skipped => score.skipped += 1,
        }
        stage.control.lab.delete_pods(before)?;
    }
    // Everything that was counted in the kernel is a line, folded, or counted on purpose: nothing was lost.
    if let Err(e) = finish(stage.auditor) {
        score.failed += 1;
        println!("{} {e:#}", options.paint.bad("FAIL at the end:"));
    }
    Ok(score)
}

impl Stage {
    fn new(options: &Options) -> Result<Self> {
        let lab = Lab::new(&options.helpers)?;
        let mut control = Control::new(lab, options.programs.clone())?;
        let role = format!("{ROLES}/fence");
        control.service_account("lab", "fence", Some(&role))?;
        let pod = control.start(PodSpec::new("lab", "fence").with_irsa(&role))?;
        let fence = Fence { pod, role };
        let kubeconfig = control.kubeconfig("credential-auditor")?;
        let mut flags = auditor::flags(&control.lab);
        if let Some(at) = flags.iter().position(|flag| flag == "--cluster") {
            flags[at + 1] = "kube".into();
        }
        flags.extend(["--api-start-jitter", "0"].map(str::to_owned));
        let environment = [("KUBECONFIG", kubeconfig)];
        let lab = &control.lab;
        let (auditor, ready) = Auditor::start_with(lab, &options.auditor, &flags, &environment)?;
        println!("{}", options.paint.dim(&introduction(&ready)));
        let mut this = Self {
            control,
            auditor,
            fence,
            early: Vec::new(),
            health: Vec::new(),
        };
        // The first listing is announced.
        this.await_health("ok", "listed")?;
        thread::sleep(Duration::from_secs(1));
        Ok(this)
    }

    /// The next line that is not about the auditor's own health.
    fn next(&mut self, deadline: Instant) -> Result<Option<Value>> {
        loop {
            match self.auditor.next(deadline)? {
                Some(line) if line["event"] == "health" => self.health.push(line),
                other => return Ok(other),
            }
        }
    }

    /// Waits for a `health` line of this state whose message holds `naming`; those before it have been seen, then.
    pub fn await_health(&mut self, state: &str, naming: &str) -> Result<()> {
        // A refused request is tried again after a minute.
        let deadline = Instant::now() + Duration::from_secs(100) * patience();
        loop {
            let wanted = |line: &Value| {
                line["state"] == state
                    && line["message"].as_str().is_some_and(|m| m.contains(naming))
            };
            if let Some(at) = self.health.iter().position(wanted) {
                self.health.drain(..=at);
                return Ok(());
            }
            match self.auditor.next(deadline)? {
                Some(line) if line["event"] == "health" => self.health.push(line),
                Some(line) => self.early.push(line),
                None => bail!(
                    "no health line `{state}` that names `{naming}`, but {:?}\n{}",
                    self.health,
                    self.auditor.log_tail()
                ),
            }
        }
    }

    fn perform(&mut self, scene: &Scene) -> Result<(Tally, Vec<Value>)> {
        let played = (scene.play)(self).context("playing the scene");
        let (expected, played) = match played {
            Ok(expected) => (expected, Ok(())),
            Err(e) => (Vec::new(), Err(e)),
        };
        let mut tally = Tally::new(expected);
        let mut lines = std::mem::take(&mut self.early);
        lines.iter().for_each(|line| tally.take(line));
        // What waits for the API server waits 30 s at most.
        let deadline = Instant::now() + Duration::from_secs(45) * patience();
        while !tally.complete() && !tally.hopeless() {
            let Some(line) = self.next(deadline)? else {
                break;
            };
            tally.take(&line);
            lines.push(line);
        }
        let mut end = self.fence.pass(&mut self.control.lab)?;
        let deadline = Instant::now() + Duration::from_secs(45) * patience();
        loop {
            match self.next(deadline)? {
                Some(line) if self.fence.owns(&line) => {
                    end.take(&line);
                    break;
                }
                Some(line) => {
                    tally.take(&line);
                    lines.push(line);
                }
                None => bail!(
                    "no line for the open that marks the scene's end\n{tally}{}",
                    self.auditor.log_tail()
                ),
            }
        }
        played?;
        ensure!(
            end.exact(),
            "the line that marks the scene's end is not as it should be\n{end}"
        );
        self.settle_health(scene.health)?;
        Ok((tally, lines))
    }

    fn settle_health(&mut self, expected: Health) -> Result<()> {
        if expected == Health::MayEndOk
            && self.health.last().is_some_and(|line| line["state"] != "ok")
        {
            let count = self.health.len();
            self.await_health("ok", "")?;
            ensure!(
                self.early.is_empty(),
                "{} health lines, then {:?}",
                count,
                self.early
            );
        }
        let left = std::mem::take(&mut self.health);
        ensure!(
            expected != Health::Good || left.is_empty(),
            "the auditor says of its health: {left:?}"
        );
        Ok(())
    }
}
