//! Plays scenes on a lab while the real auditor runs, and holds its lines against what each scene expects.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    fs,
    net::TcpStream,
    ops::AddAssign,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    auditor::{Auditor, Options},
    evasion,
    expect::{Expected, Tally},
    http,
    node::{Lab, Pod, PodSpec, cluster::ROLES, pod::IRSA},
    patience,
    report::{self, Mark, Paint},
    scene::{self, Scene, Stage},
    simulation,
};

pub struct Play {
    pub auditor: Options,
    pub helpers: PathBuf,
    /// All of them where empty.
    pub scenes: Vec<String>,
    /// Then the evasion corpus, without another start of the auditor: on an emulated processor that costs as much as a dozen scenes.
    pub corpus: bool,
    /// And before that the attack simulation, of which the auditor's samples are put out.
    pub simulate: bool,
    /// The backend that must watch opens.
    pub must_choose: Option<String>,
    pub keep: bool,
    pub paint: Paint,
}

/// Counted scenes; what lies between them (an unexpected line at the end) counts as a failed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    pub passed: u32,
    pub failed: u32,
    /// What they wait for did not happen on this machine; their lines were as they should be.
    pub skipped: u32,
}

impl AddAssign for Score {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

/// The line that ends a run.
impl Display for Score {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// What begins the corpus' rows in a guest's console, before the backend's name: the line that stands there before each of its jobs.
pub const CORPUS: &str = "guest: lab evade --backend";

/// The scenes', and the corpus' where that is played after them.
pub struct Scores(pub Vec<Score>);

impl From<Score> for Scores {
    fn from(score: Score) -> Self {
        Self(vec![score])
    }
}

/// Prints the scenes' score before the corpus begins; the last score is the caller's to print.
pub fn run(play: &Play) -> Result<Scores> {
    let scenes = chosen(&play.scenes)?;
    let mut lab = Lab::new(&play.helpers)?;
    if play.keep {
        lab.keep();
    }
    let mut stage = stage(lab)?;
    let fence = Fence::start(&mut stage.lab)?;
    // What is off by default is off for the others.
    let (denied, plain): (Vec<_>, Vec<_>) = scenes.into_iter().partition(|s| scene::is_denied(s));
    let mut rounds = [
        (plain, play.auditor.clone()),
        (denied, play.auditor.watching_denied()),
    ];
    if play.corpus || play.simulate {
        // They are played in the last round, with what is the default.
        rounds.reverse();
    }
    let mut score = Score::default();
    for (index, (scenes, options)) in rounds.iter().enumerate() {
        let is_last = index + 1 == rounds.len();
        let plays_corpus = play.corpus && is_last;
        let simulates = play.simulate && is_last;
        if scenes.is_empty() && !plays_corpus && !simulates {
            continue;
        }
        let (mut auditor, ready) = start(play, options, &mut stage)?;
        score += perform_all(play, scenes, &mut stage, &mut auditor, &fence)?;
        if simulates {
            score += simulate(play, &mut stage, &mut auditor, &ready, &fence)?;
        }
        if plays_corpus {
            let backend = play.must_choose.as_ref().unwrap_or(&options.backend);
            println!("{score}\n{CORPUS} {backend}");
            println!("{}", play.paint.dim(&introduction(&ready)));
            let techniques = evasion::declared(&[])?;
            let running = (&mut auditor, &ready);
            let mut of_corpus =
                evasion::perform_all(&techniques, &mut stage, running, &fence, play.paint)?;
            of_corpus += ended(play, auditor, &ready, options);
            return Ok(Scores(vec![score, of_corpus]));
        }
        score += ended(play, auditor, &ready, options);
    }
    Ok(score.into())
}

/// Starts the auditor, and returns it with its `ready` event.
fn start(play: &Play, options: &Options, stage: &mut Stage) -> Result<(Auditor, Value)> {
    let (auditor, ready) = Auditor::start(&stage.lab, options)?;
    know(stage, options, &ready);
    println!("{}", play.paint.dim(&introduction(&ready)));
    let chosen = ready["backends"]["file_open"]["backend"].as_str();
    let must_choose = play.must_choose.as_deref();
    ensure!(
        must_choose.is_none() || chosen == must_choose,
        "opens are watched by {}, not by {}",
        chosen.unwrap_or("nothing"),
        must_choose.unwrap_or("?")
    );
    // Kubernetes' timestamps have whole seconds: a pod made in the auditor's first second would seem to be older than it.
    thread::sleep(Duration::from_secs(1));
    Ok((auditor, ready))
}

/// Ends the auditor. What it then tells, or how it dies, counts as a scene that failed.
fn ended(play: &Play, auditor: Auditor, ready: &Value, options: &Options) -> Score {
    let mut score = Score::default();
    for result in [keep_metrics(ready, &options.output), finish(auditor)] {
        if let Err(e) = result {
            score.failed += 1;
            println!("{} {e:#}", play.paint.bad("FAIL at the end:"));
        }
    }
    score
}

/// Plays scenes with one run of the auditor.
fn perform_all(
    play: &Play,
    scenes: &[&'static Scene],
    stage: &mut Stage,
    auditor: &mut Auditor,
    fence: &Fence,
) -> Result<Score> {
    let mut score = Score::default();
    for scene in scenes {
        let before = stage.lab.pod_count();
        let (exact, lines, trouble) = match perform(scene, stage, auditor, fence) {
            Ok((tally, lines)) => (tally.exact(), lines, tally.to_string()),
            Err(e) => (false, Vec::new(), format!("{e:#}")),
        };
        let (mark, trouble) = match (exact, stage.skipped.take()) {
            (true, None) => (Mark::Passed, trouble),
            (true, Some(why)) => (Mark::Skipped, format!("skipped: {why}")),
            (false, _) => (Mark::Failed, trouble),
        };
        println!(
            "{}",
            report::scene(play.paint, mark, scene.name, scene.about, &lines)
        );
        for line in trouble.lines() {
            println!("       {line}");
        }
        match mark {
            Mark::Passed => score.passed += 1,
            Mark::Failed => score.failed += 1,
            Mark::Skipped => score.skipped += 1,
        }
        stage.lab.delete_pods(before)?;
    }
    Ok(score)
}

/// The attack simulation, as one row.
fn simulate(
    play: &Play,
    stage: &mut Stage,
    auditor: &mut Auditor,
    ready: &Value,
    fence: &Fence,
) -> Result<Score> {
    let before = stage.lab.pod_count();
    let program = &play.auditor.program;
    let (mark, about) = match simulation::perform(stage, program, auditor, fence, ready) {
        Ok(said) => (Mark::Passed, said),
        Err(error) => (Mark::Failed, format!("{error:#}")),
    };
    println!("{}", report::step(play.paint, mark, "simulation", &about));
    stage.lab.delete_pods(before)?;
    let failed = u32::from(mark == Mark::Failed);
    Ok(Score {
        passed: 1 - failed,
        failed,
        ..Score::default()
    })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scene>> {
    let all = scene::all();
    if names.is_empty() {
        return Ok(all);
    }
    names
        .iter()
        .map(|name| {
            all.iter()
                .find(|s| s.name == name)
                .copied()
                .with_context(|| {
                    format!(
                        "there is no scene {name}; there are {}",
                        all.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")
                    )
                })
        })
        .collect()
}

/// Plays every scene's act without an auditor: what fails here is the lab's or the machine's fault.
pub fn rehearse(helpers: &Path) -> Result<usize> {
    let mut stage = stage(Lab::new(helpers)?)?;
    let scenes = scene::all();
    for scene in &scenes {
        let before = stage.lab.pod_count();
        (scene.play)(&mut stage).with_context(|| scene.name)?;
        if let Some(why) = stage.skipped.take() {
            println!("{}: {why}", scene.name);
        }
        stage.lab.delete_pods(before).with_context(|| scene.name)?;
    }
    Ok(scenes.len())
}

/// A lab with the pods that run before the auditor does.
pub fn stage(mut lab: Lab) -> Result<Stage> {
    let agent = lab.start_agent().context("start the Pod Identity agent")?;
    lab.cluster
        .associate("ops", "older", &format!("{ROLES}/ops-older"))?;
    let inbox = lab.inbox();
    let older = lab.start(
        PodSpec::new("ops", "older")
            .with_pod_identity()
            .with_host_path(&inbox, "/inbox"),
    )?;
    Ok(Stage {
        lab,
        agent,
        older,
        output: None,
        auditor: None,
        hooks: BTreeMap::new(),
        skipped: None,
    })
}

/// Pods whose own token open marks the end of a scene: what the auditor wrote before that open's line is the scene's.
pub struct Fence {
    pods: Vec<Pod>,
    role: String,
    passed: Cell<usize>,
}

/// In turns: flood control lets eight opens a second of one program in one cgroup through, and the corpus plays twice as many techniques.
const FENCES: usize = 4;

impl Fence {
    pub fn start(lab: &mut Lab) -> Result<Self> {
        let role = format!("{ROLES}/fence");
        lab.cluster.annotate("lab", "fence", &role)?;
        let pods: Result<_> = (0..FENCES)
            .map(|_| lab.start(PodSpec::new("lab", "fence").with_irsa(&role)))
            .collect();
        Ok(Self::of(pods?, role))
    }

    /// Of pods whose ServiceAccount has that role.
    pub fn of(pods: Vec<Pod>, role: String) -> Self {
        let passed = Cell::new(0);
        Self { pods, role, passed }
    }

    pub fn pass(&self, lab: &mut Lab) -> Result<Tally> {
        let turn = self.passed.replace(self.passed.get() + 1) % self.pods.len().max(1);
        let pod = self.pods.get(turn).context("a fence of no pod")?;
        let path = pod.spec.token(IRSA).map(|t| t.path()).unwrap_or_default();
        lab.run(pod, &["peek", &path])?;
        Ok(Tally::new(vec![
            Expected::own_open(pod, IRSA).bound("irsa", &self.role),
        ]))
    }

    pub fn owns(&self, line: &Value) -> bool {
        let mut pods = self.pods.iter();
        line["event"] == "token_open" && pods.any(|pod| line["pod"]["uid"] == pod.spec.uid)
    }
}

/// Plays one scene and collects its lines: also those of one that failed halfway, which are not the next scene's.
fn perform(
    scene: &Scene,
    stage: &mut Stage,
    auditor: &mut Auditor,
    fence: &Fence,
) -> Result<(Tally, Vec<Value>)> {
    let played = (scene.play)(stage).context("playing the scene");
    settle(played, &mut stage.lab, auditor, fence, &mut |_| false)
}

/// Collects the lines of what was just played, and holds them against what that expects. Those that `is_anothers` takes are left
/// out.
pub fn settle(
    played: Result<Vec<Expected>>,
    lab: &mut Lab,
    auditor: &mut Auditor,
    fence: &Fence,
    is_anothers: &mut dyn FnMut(&Value) -> bool,
) -> Result<(Tally, Vec<Value>)> {
    let (expected, played) = match played {
        Ok(expected) => (expected, Ok(())),
        Err(e) => (Vec::new(), Err(e)),
    };
    let mut tally = Tally::new(expected);
    let mut lines = Vec::new();
    // Longer than the 10 s after which a connect is reported as pending.
    let deadline = Instant::now() + Duration::from_secs(15) * patience();
    while !tally.complete() && !tally.hopeless() {
        let Some(line) = auditor.next(deadline)? else {
            break;
        };
        if !is_anothers(&line) {
            tally.take(&line);
            lines.push(line);
        }
    }

    let mut end = fence.pass(lab)?;
    let deadline = Instant::now() + Duration::from_secs(15) * patience();
    loop {
        match auditor.next(deadline)? {
            Some(line) if fence.owns(&line) => {
                end.take(&line);
                break;
            }
            Some(line) if is_anothers(&line) => {}
            Some(line) => {
                tally.take(&line);
                lines.push(line);
            }
            None => bail!(
                "no line for the open that marks the scene's end\n{tally}{}",
                auditor.log_tail()
            ),
        }
    }
    ensure!(
        end.exact(),
        "the line that marks the scene's end is not as it should be\n{end}"
    );
    played.map(|()| (tally, lines))
}

/// Leaves what /metrics says at the end beside the lines.
fn keep_metrics(ready: &Value, lines: &Path) -> Result<()> {
    let address = ready["metrics"].as_str().context("no metrics are served")?;
    let mut stream = http::Connection::new(TcpStream::connect(address)?);
    let (status, text) = http::exchange(&mut stream, &http::get("/metrics", address))?;
    ensure!(status == 200, "/metrics answers {status}");
    let path = lines.with_extension("metrics");
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Stops the auditor: nothing may be left to write, or have been lost. That the totals add up is held by [`Auditor::stop`].
pub fn finish(auditor: Auditor) -> Result<()> {
    let rest = auditor.stop()?;
    let (stopped, late) = rest.split_last().context("no lines at the end")?;
    let mut strays = Tally::default();
    late.iter().for_each(|line| strays.take(line));
    ensure!(strays.exact(), "lines that belong to no scene:\n{strays}");
    ensure!(stopped["lost"] == 0, "events were lost: {stopped}");
    Ok(())
}

/// Tells the scenes of the run that they are played in.
pub fn know(stage: &mut Stage, options: &Options, ready: &Value) {
    stage.output = Some(options.output.clone());
    stage.auditor = Some(options.clone());
    stage.hooks = hooks(ready);
}

/// How each hook is watched.
fn hooks(ready: &Value) -> BTreeMap<String, String> {
    let backends = ready["backends"].as_object().into_iter().flatten();
    backends
        .map(|(hook, status)| {
            let backend = status["backend"].as_str().unwrap_or("?");
            (hook.clone(), backend.to_owned())
        })
        .collect()
}

/// The kernel's reason, where `trouble` is the auditor's word that this kernel refuses what it needs.
pub fn refusal(trouble: &str) -> Option<String> {
    // The start of `LoadError`'s messages that are about the kernel.
    let refusals = [
        "no way to watch ",
        "cannot load the BPF object",
        "this kernel's BTF has none of ",
    ];
    trouble.lines().find_map(|line| {
        let (_, why) = line.split_once("auditor: ")?;
        refusals
            .iter()
            .any(|start| why.starts_with(start))
            .then(|| why.to_owned())
    })
}

pub fn introduction(ready: &Value) -> String {
    let backends: Vec<String> = hooks(ready)
        .iter()
        .map(|(hook, backend)| {
            // Why, where a reader would expect one.
            let refused = &ready["backends"][hook]["refused"];
            let why = (backend == "none").then(|| format!(" {refused}"));
            format!("{hook} by {backend}{}", why.unwrap_or_default())
        })
        .collect();
    format!(
        "auditor {} on {}: {}",
        ready["version"].as_str().unwrap_or("?"),
        ready["kernel"].as_str().unwrap_or("?"),
        backends.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_word_is_a_refusal() {
        let log = "the auditor ended by itself with exit status: 1\nthe end of the auditor's log:\n  \
            auditor: no way to watch file_open works on this kernel: fentry: errno 524\n  help: try `--backend auto`";
        assert_eq!(
            refusal(log).as_deref(),
            Some("no way to watch file_open works on this kernel: fentry: errno 524")
        );
        assert_eq!(refusal("auditor: missing CAP_BPF"), None);
        assert_eq!(refusal("the auditor is not ready in time"), None);
    }
}
