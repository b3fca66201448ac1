//! Plays the scenes with real containers while the real auditor runs.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    alone,
    churn::{self, Churned},
    contained::{self, Shipped},
    exec,
    node::Node,
    runtime,
    scene::{self, Scene},
    verified,
};
use crate::{
    auditor::{self, Auditor},
    expect::Expected,
    node::Lab,
    play::{Fence, Score, finish, introduction, settle},
    report::{self, Mark, Paint},
    sys::mounts,
};

pub struct Options {
    pub auditor: auditor::Options,
    pub helpers: PathBuf,
    /// All of them, and the churn, where empty.
    pub scenes: Vec<String>,
    /// The manifest, with or without the auditor's image; the plain program, as a process of the node, where none.
    pub shipped: Option<Shipped>,
    /// Short-lived containers; none where 0.
    pub churn: u32,
    pub paint: Paint,
}

/// # Errors
/// Without root or the runtime's programs, and when the node cannot be made.
pub fn run(options: &Options) -> Result<Score> {
    let scenes = chosen(&options.scenes)?;
    runtime::check_programs()?;
    let lab = Lab::new(&options.helpers)?;
    let (dir, cgroup) = (lab.dir().to_owned(), lab.cgroup_name());
    let mut score = Score::default();
    on_node(options, &scenes, Node::new(lab)?, &mut score)?;
    let name = "leaves-nothing-behind";
    let about = "no mount, cgroup, directory or shim's socket of this run is left";
    step(options, &mut score, (name, about), left(&dir, &cgroup));
    Ok(score)
}

fn on_node(
    options: &Options,
    scenes: &[&'static Scene],
    mut node: Node,
    score: &mut Score,
) -> Result<()> {
    node.lab
        .start_agent()
        .context("start the Pod Identity agent")?;
    let fence = Fence::start(&mut node.lab)?;
    let (mut auditor, ready, deployed) = match &options.shipped {
        None => {
            let (auditor, ready) = Auditor::start(&node.lab, &options.auditor)?;
            (auditor, ready, None)
        }
        Some(shipped) => {
            let (auditor, ready, deployed) =
                contained::start(&mut node, &options.auditor, shipped)?;
            (auditor, ready, Some(deployed))
        }
    };
    println!("{}", options.paint.dim(&introduction(&ready)));
    // Kubernetes' timestamps have whole seconds: a pod made in the auditor's first second would seem to be older than it.
    thread::sleep(Duration::from_secs(1));

    if let Some(deployed) = &deployed {
        for one in &deployed.not_applied {
            println!("{}", options.paint.dim(&format!("not applied: {one}")));
        }
        let name = "as-the-manifest-says";
        let about = "user, groups, capabilities, no_new_privs, seccomp, namespaces and what may be written are the manifest's";
        step(
            options,
            score,
            (name, about),
            verified::verify(&auditor, deployed),
        );
    }

    let is_image = options
        .shipped
        .as_ref()
        .is_some_and(|shipped| shipped.archive.is_some());
    for scene in scenes {
        let before = node.pod_count();
        let played = (scene.play)(&mut node).context("playing the scene");
        judge(
            options,
            score,
            scene,
            played,
            &mut node,
            &mut auditor,
            &fence,
        );
        node.remove_pods(before)?;
    }
    if options.scenes.is_empty() && options.churn > 0 {
        let name = "churn";
        let about = format!(
            "{} containers, each in a pod of its own, read their token and end",
            options.churn
        );
        let outcome = churn::run(&mut node, &mut auditor, options.churn);
        let (mark, text) = match outcome {
            Ok(churned) => (churned.mark(), churned.to_string()),
            Err(e) => (Mark::Failed, format!("{e:#}")),
        };
        tell(options, score, mark, (name, &about), &text);
    }
    if let Some(deployed) = &deployed {
        if !deployed.is_helped {
            let name = "check-by-exec";
            let about = "`auditor check` finds the kubelet and the agent's network by itself, through the host's /proc";
            let outcome = exec::check(&node, deployed);
            step(options, score, (name, about), outcome);
        }
        let name = "status-by-exec";
        let about = "`kubectl exec ds/credential-auditor -- /auditor status` answers";
        step(options, score, (name, about), exec::status(&node, deployed));
        // What was packed here may have libraries beside it.
        if is_image {
            let name = "nothing-but-the-program";
            let about = "in an empty root with /etc/resolv.conf it finds names and begins TLS";
            step(options, score, (name, about), alone::check(&node, &auditor));
        }
    }
    if let Err(e) = finish(auditor) {
        score.failed += 1;
        println!("{} {e:#}", options.paint.bad("FAIL at the end:"));
    }
    // Its own pod, which stands below those of the scenes.
    node.remove_pods(0)?;
    Ok(())
}

impl Churned {
    fn mark(&self) -> Mark {
        if self.all_right() {
            Mark::Passed
        } else {
            Mark::Failed
        }
    }
}

fn judge(
    options: &Options,
    score: &mut Score,
    scene: &Scene,
    played: Result<Vec<Expected>>,
    node: &mut Node,
    auditor: &mut Auditor,
    fence: &Fence,
) {
    let (mark, lines, trouble) = match settle(played, &mut node.lab, auditor, fence, &mut |_| false)
    {
        Ok((tally, lines)) if tally.exact() => (Mark::Passed, lines, String::new()),
        Ok((tally, lines)) => (Mark::Failed, lines, tally.to_string()),
        Err(e) => (Mark::Failed, Vec::new(), format!("{e:#}")),
    };
    println!(
        "{}",
        report::scene(options.paint, mark, scene.name, scene.about, &lines)
    );
    count(score, mark, &trouble);
}

fn step(options: &Options, score: &mut Score, what: (&str, &str), outcome: Result<()>) {
    match outcome {
        Ok(()) => tell(options, score, Mark::Passed, what, ""),
        Err(e) => tell(options, score, Mark::Failed, what, &format!("{e:#}")),
    }
}

fn tell(
    options: &Options,
    score: &mut Score,
    mark: Mark,
    (name, about): (&str, &str),
    trouble: &str,
) {
    println!("{}", report::step(options.paint, mark, name, about));
    count(score, mark, trouble);
}

fn count(score: &mut Score, mark: Mark, trouble: &str) {
    for line in trouble.lines() {
        println!("       {line}");
    }
    match mark {
        Mark::Passed => score.passed += 1,
        Mark::Failed => score.failed += 1,
        Mark::Skipped => score.skipped += 1,
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scene>> {
    let all = scene::all();
    let known: Vec<&str> = all.iter().map(|s| s.name).collect();
    for name in names {
        ensure!(
            known.contains(&name.as_str()),
            "there is no scene {name}; there are {}",
            known.join(", ")
        );
    }
    Ok(all
        .into_iter()
        .filter(|s| names.is_empty() || names.iter().any(|name| name == s.name))
        .collect())
}

/// Fails with what a run has left on the machine.
fn left(dir: &std::path::Path, cgroup: &std::path::Path) -> Result<()> {
    ensure!(!dir.exists(), "{} is still there", dir.display());
    for mount in mounts::list()? {
        ensure!(
            !mount.mount_point.starts_with(dir),
            "{} is still mounted",
            mount.mount_point.display()
        );
    }
    for hierarchy in crate::cgroup::hierarchies()? {
        let path = hierarchy.join(cgroup.strip_prefix("/")?);
        ensure!(!path.exists(), "{} is still there", path.display());
    }
    // A shim's command line names the socket of the containerd that started it.
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        ensure!(
            !line.contains(&*dir.to_string_lossy()),
            "process {} still runs: {line}",
            entry.file_name().to_string_lossy()
        );
    }
    Ok(())
}
