//! Plays the scenes against a real API server while the real auditor runs.

use std::{
    collections::BTreeMap,
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
    syncer::{self, Syncer},
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
    // Dropped first: it lives on the node that the control plane takes down.
    _syncer: Syncer,
    pub control: Control,
    auditor: Auditor,
    fence: Fence,
    /// Lines that came while a scene waited for another.
    early: Vec<Value>,
    /// `health` lines that no scene has waited for yet.
    health: Vec<Value>,
    /// The last of each component.
    states: BTreeMap<String, String>,
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
        let fence = Fence::of(vec![pod], role);
        let syncer = Syncer::start(&control.lab, &control.server, &options.auditor.program)?;
        let kubeconfig = control.kubeconfig("credential-auditor")?;
        control.lab.cluster.cluster_source = Some("kube".into());
        control.lab.cluster.associations_source = Some(syncer::source());
        let mut run = options.auditor.clone();
        run.args
            .extend(["--api-start-jitter", "0"].map(str::to_owned));
        run.env
            .push(("KUBECONFIG".into(), kubeconfig.to_string_lossy().into()));
        let (auditor, ready) = Auditor::start(&control.lab, &run)?;
        println!("{}", options.paint.dim(&introduction(&ready)));
        let mut this = Self {
            _syncer: syncer,
            control,
            auditor,
            fence,
            early: Vec::new(),
            health: Vec::new(),
            states: BTreeMap::new(),
        };
        // The first listing is announced.
        this.await_health("cluster", "ok", "listed")?;
        thread::sleep(Duration::from_secs(1));
        // From now on its ServiceAccount is known, also while the API server is away.
        let mut first = this.fence.pass(&mut this.control.lab)?;
        let deadline = Instant::now() + Duration::from_secs(45) * patience();
        while !first.complete() && !first.hopeless() {
            let line = this.next(deadline)?.context("no line for a first open")?;
            first.take(&line);
        }
        ensure!(first.exact(), "the first line is wrong\n{first}");
        this.health.clear();
        Ok(this)
    }

    /// The next line that is not about the auditor's own health.
    fn next(&mut self, deadline: Instant) -> Result<Option<Value>> {
        while let Some(line) = self.auditor.next(deadline)? {
            match self.sort(line) {
                None => {}
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// Keeps a `health` line, gives back any other.
    fn sort(&mut self, line: Value) -> Option<Value> {
        if line["event"] != "health" {
            return Some(line);
        }
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        self.states.insert(text("component"), text("state"));
        self.health.push(line);
        None
    }

    /// Waits for a `health` line of this component and state whose message holds `naming`; those before it have been seen,
    /// then.
    pub fn await_health(&mut self, component: &str, state: &str, naming: &str) -> Result<()> {
        // A refused request is tried again after a minute.
        let deadline = Instant::now() + Duration::from_secs(100) * patience();
        loop {
            let wanted = |line: &Value| {
                line["component"] == component
                    && line["state"] == state
                    && line["message"].as_str().is_some_and(|m| m.contains(naming))
            };
            if let Some(at) = self.health.iter().position(wanted) {
                self.health.drain(..=at);
                return Ok(());
            }
            match self.auditor.next(deadline)? {
                Some(line) => {
                    let other = self.sort(line);
                    self.early.extend(other);
                }
                None => bail!(
                    "no health line of {component}, `{state}`, that names `{naming}`, but {:?}\n{}",
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
        if expected == Health::MayEndOk {
            let troubled = |(_, state): &(&String, &String)| *state != "ok";
            while let Some((component, _)) = self.states.iter().find(troubled) {
                let component = component.clone();
                self.await_health(&component, "ok", "")?;
            }
            ensure!(
                self.early.is_empty(),
                "only health was to change: {:?}",
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
