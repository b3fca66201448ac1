//! `auditor simulate` in the pods of `manifests/simulate`: the auditor finds exactly what they announce.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{
    auditor::{Auditor, Options, watched_by},
    node::Lab,
    patience,
    simulation::{self, Manifests, Played},
};
use serde_json::Value;
use support::{assert_refused, backend, finish, helpers, is_root};

const SCENES: usize = 9;

fn auditor() -> std::path::PathBuf {
    std::path::absolute(support::auditor()).expect("a path")
}

/// Of these hooks nobody tells on this machine: their scenes are played and raise nothing.
fn without(hook: &Value, ready: &Value) -> bool {
    hook.as_str()
        .is_some_and(|hook| watched_by(ready, hook) == "none")
}

#[test]
fn exactly_what_is_announced_is_found() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let options = Options {
        program: auditor(),
        backend: backend(),
        output: directory.path().join("events.jsonl"),
        args: Vec::new(),
        env: Vec::new(),
        without: Vec::new(),
    };
    let mut lab = Lab::new(&helpers())?;
    lab.start_agent()?;
    let (mut running, ready) = Auditor::start(&lab, &options)?;
    // Pods' timestamps have whole seconds: they are to be younger than the auditor.
    std::thread::sleep(Duration::from_secs(1));
    let played = simulation::play(&mut lab, &options.program)?;
    let scenes: BTreeSet<&str> = played
        .rows()
        .map(|row| row["scene"].as_str().unwrap_or("?"))
        .collect();
    ensure!(scenes.len() == SCENES, "{scenes:?}");
    let announced = played.announced();
    let (watched, unwatched): (Vec<_>, Vec<_>) = announced
        .iter()
        .partition(|one| !without(&one["hook"], &ready));
    for one in unwatched {
        println!("skipped: nothing watches {}: {}", one["hook"], one["scene"]);
    }
    let expected: BTreeSet<Labels> = watched.iter().map(|one| labels(&one["labels"])).collect();
    let mut lines = wait_for(&mut running, &played, &expected)?;
    lines.extend(running.stop()?);
    let found = found(&lines, &played.namespace);
    ensure!(
        found == expected,
        "announced {expected:#?}\nfound {found:#?}"
    );
    Ok(())
}

type Labels = BTreeMap<String, String>;

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or("?").to_owned()))
        .collect()
}

fn found(lines: &[Value], namespace: &str) -> BTreeSet<Labels> {
    let findings = lines
        .iter()
        .flat_map(|line| simulation::raised(line, namespace));
    findings.map(|found| labels(&found)).collect()
}

/// Lines up to the last that is announced; what is too much may come until the end.
fn wait_for(
    auditor: &mut Auditor,
    played: &Played,
    expected: &BTreeSet<Labels>,
) -> Result<Vec<Value>> {
    let deadline = Instant::now() + Duration::from_secs(40) * patience();
    let mut lines = Vec::new();
    while !found(&lines, &played.namespace).is_superset(expected) {
        match auditor.next(deadline)? {
            Some(line) => lines.push(line),
            None => bail!(
                "announced {expected:#?}\nfound {:#?}\n{}",
                found(&lines, &played.namespace),
                auditor.log_tail()
            ),
        }
    }
    Ok(lines)
}

#[test]
fn without_a_victim_the_thief_is_refused_and_says_why() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let manifests = Manifests::ours()?;
    let thief = manifests.templates.iter();
    let mut thief = thief.filter(|template| template.name == "thief");
    let thief = thief.next().context("no thief")?;
    // A pod with a token, not of the simulation: it must not be taken for a victim.
    lab.start(
        lab::node::PodSpec::new("payments", "victim").with_irsa("arn:aws:iam::111122223333:role/x"),
    )?;
    let mut spec = thief.pod(
        &manifests.namespace,
        &lab.kubelet_root(),
        &Path::new("/image").join("auditor"),
    )?;
    let program = auditor();
    let directory = program.parent().context("a directory")?;
    spec = spec.with_host_path(directory, "/image");
    spec.argv.extend(["--wait", "0"].map(str::to_owned));
    let pod = lab.start(spec)?;
    let error = match lab.wait(&pod) {
        Err(error) => format!("{error:#}"),
        Ok(said) => bail!("it was played: {said}"),
    };
    for word in [
        "status 1",
        "theft: no victim of the namespace credential-auditor-simulation",
        "theft        refused",
        "token-write  done",
    ] {
        ensure!(error.contains(word), "{word:?} is not in {error}");
    }
    Ok(())
}

#[test]
fn nothing_is_played_outside_the_simulation() {
    let cases: [(&[&str], i32, &[&str]); 4] = [
        (
            &["run", "--yes"],
            1,
            &["this is no pod of the simulation", "kubectl apply -k"],
        ),
        (&["run", "--scene", "thefts"], 2, &["own-token", "theft"]),
        (
            &["verify", "--prometheus", "localhost:9090"],
            2,
            &["a URL of http"],
        ),
        (
            &[
                "verify",
                "--auditor",
                "http://127.0.0.1:9/metrics",
                "--timeout",
                "0",
            ],
            1,
            &["127.0.0.1:9"],
        ),
    ];
    for (args, status, words) in cases {
        let mut command = Command::new(auditor());
        command.arg("simulate").args(args);
        assert_refused(&finish(command), status, words);
    }
}
