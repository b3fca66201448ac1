//! What an admin does, by docs/install.md: the commands of the document, typed into a shell, with the real kubectl and Helm, on a real
//! kube-apiserver with its controllers. Nodes are objects; that pods run on them is said, and not so ([`kubelet`]).

mod cluster;
mod helm;
mod kubectl;
mod kubelet;
mod objects;
mod place;
mod rights;

use std::path::PathBuf;

use anyhow::Result;

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
    pub paint: Paint,
}

/// What nothing here can show.
const NOT_SHOWN: [&str; 2] = [
    "kubectl logs and exec: no container runs, there is no kubelet (`cargo xtask e2e containerd` runs the image)",
    "that a state directory is removed: `auditor remove-state` has tests of its own (auditor/src/state)",
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
    let (cluster, left_out) = Cluster::start(options)?;
    for why in left_out.into_iter().chain(NOT_SHOWN) {
        round.skip(why);
    }
    let played = kubectl::plain(&mut round, &cluster, &options.auditor)
        .and_then(|()| kubectl::overlay(&mut round, &cluster))
        .and_then(|()| helm::shared(&mut round, &cluster, &options.auditor));
    if let Err(error) = played {
        round.score.failed += 1;
        for line in format!("{error:#}").lines() {
            println!("       {line}");
        }
        println!("       what would come after that was not tried");
    }
    Ok(round.score)
}
