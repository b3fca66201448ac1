//! What an admin does, by docs/install.md: the commands of the document, typed into a shell, with the real kubectl and Helm, on a real
//! kube-apiserver with its controllers. Nodes are objects; that pods run on them is said, and not so ([`kubelet`]).

mod cluster;
mod helm;
mod kubectl;
mod kubelet;
mod objects;
mod place;
mod rights;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::cluster::Cluster;
use super::server::Programs;
use crate::{
    play::Score,
    report::{self, Mark, Paint},
};

pub struct Options {
    pub auditor: PathBuf,
    pub helpers: PathBuf,
    pub programs: Programs,
    /// The virtual environment of `tests/manifests/requirements.txt`.
    pub venv: PathBuf,
    /// What is installed, and by which document.
    pub workspace: PathBuf,
    /// All of them where empty.
    pub rounds: Vec<String>,
    pub paint: Paint,
}

type Play = fn(&mut Round, &Cluster, &Path) -> Result<()>;

/// Each begins on a cluster that has nothing of ours, and ends so.
const ROUNDS: [(&str, Play); 4] = [
    ("kubectl", kubectl::plain),
    ("overlay", |round, cluster, _| {
        kubectl::overlay(round, cluster)
    }),
    ("helm", |round, cluster, _| helm::plain(round, cluster)),
    ("helm-shared", helm::shared),
];

/// What nothing here can show.
const NOT_SHOWN: [&str; 2] = [
    "kubectl logs and exec: no container runs, there is no kubelet (`cargo xtask e2e containerd` runs the image)",
    "that a state directory is removed: `auditor remove-state` has tests of its own (auditor/src/state/remove.rs)",
];

/// Steps of which each begins where the one before ended: the first that fails is the last.
pub struct Round {
    score: Score,
    paint: Paint,
}

impl Round {
    pub fn step(
        &mut self,
        name: &str,
        about: &str,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let result = act();
        let mark = match &result {
            Ok(()) => {
                self.score.passed += 1;
                Mark::Passed
            }
            Err(_) => Mark::Failed,
        };
        println!("{}", report::step(self.paint, mark, name, about));
        result
    }

    fn skip(&mut self, why: &str) {
        self.score.skipped += 1;
        println!("skipped: {why}");
    }
}

pub fn run(options: &Options) -> Result<Score> {
    let mut round = Round {
        score: Score::default(),
        paint: options.paint,
    };
    let known = ROUNDS.map(|(name, _)| name);
    for name in &options.rounds {
        let is_known = known.contains(&name.as_str());
        ensure!(
            is_known,
            "there is no round {name}; there are {}",
            known.join(", ")
        );
    }
    let is_chosen =
        |name: &str| options.rounds.is_empty() || options.rounds.iter().any(|n| n == name);
    let rounds = ROUNDS.into_iter().filter(|(name, _)| is_chosen(name));
    let (cluster, left_out) = Cluster::start(options)?;
    for why in left_out.into_iter().chain(NOT_SHOWN) {
        round.skip(why);
    }
    let mut played = Ok(());
    for (name, play) in rounds {
        played = played.and_then(|()| {
            play(&mut round, &cluster, &options.auditor).with_context(|| format!("round {name}"))
        });
    }
    if let Err(error) = played {
        round.score.failed += 1;
        for line in format!("{error:#}").lines() {
            println!("       {line}");
        }
        println!("       what would come after that was not tried");
    }
    Ok(round.score)
}
