//! What each command does, and how its end is told.

use std::{fs, time::Duration};

use anyhow::Result;
use lab::{
    check::{self, Check},
    churn::{self, Churn},
    evasion::{self, Evade},
    guest, helpers_beside_self,
    load::{self, Load},
    lockdown,
    play::{self, Play, Score, Scores, refusal},
    probes,
    report::Paint,
    scene,
    serve::{self, Serve},
    soak,
};

use super::{Action, e2e, signals::clean_up_on_signals};

/// Whether everything was as it should be.
pub fn act(command: Action) -> Result<bool> {
    match command {
        Action::Play {
            auditor,
            scenes,
            corpus,
            simulate,
            must_choose,
            accept_refusal,
            keep,
            print_lines,
            color,
        } => {
            clean_up_on_signals()?;
            let auditor = auditor.options()?;
            let output = auditor.output.clone();
            let play = Play {
                auditor,
                helpers: helpers_beside_self()?,
                scenes,
                corpus,
                simulate,
                must_choose,
                keep,
                paint: Paint::new(color),
            };
            let backend = play.auditor.backend.clone();
            let Scores(scores) = or_refused(play::run(&play), accept_refusal, &backend)?;
            println!("{}", output.display());
            if print_lines {
                print!("{}", fs::read_to_string(&output)?);
            }
            // The others are printed, each at its end.
            scores.last().inspect(|last| println!("{last}"));
            Ok(scores.iter().all(is_right))
        }
        Action::List { evasion: false } => {
            for scene in scene::all() {
                println!("{:<30} {}", scene.name, scene.about);
            }
            Ok(true)
        }
        Action::List { evasion: true } => {
            for technique in evasion::all() {
                let declared = technique.declaration()?;
                println!(
                    "{:<30} ({}) {}",
                    technique.name, declared.fact, declared.about
                );
            }
            Ok(true)
        }
        Action::Evade {
            auditor,
            techniques,
            accept_refusal,
            color,
        } => {
            clean_up_on_signals()?;
            let auditor = auditor.options()?;
            let output = auditor.output.clone();
            let evade = Evade {
                auditor,
                helpers: helpers_beside_self()?,
                techniques,
                paint: Paint::new(color),
            };
            let backend = evade.auditor.backend.clone();
            let score = or_refused(evasion::run(&evade), accept_refusal, &backend)?;
            println!("{}", output.display());
            Ok(summary(score))
        }
        Action::Rehearse => {
            clean_up_on_signals()?;
            println!("{} scenes played", play::rehearse(&helpers_beside_self()?)?);
            Ok(true)
        }
        Action::Churn {
            auditor,
            cycles,
            accept_refusal,
        } => {
            clean_up_on_signals()?;
            let churn = Churn {
                auditor: auditor.options()?,
                helpers: helpers_beside_self()?,
                cycles,
            };
            let backend = churn.auditor.backend.clone();
            let scored = churn::run(&churn).map(|t| {
                println!(
                    "{} opens, {} attributed right, {} owner unknown, {} misattributed",
                    t.opens, t.right, t.unknown, t.wrong
                );
                t.score()
            });
            Ok(summary(or_refused(scored, accept_refusal, &backend)?))
        }
        Action::Check {
            auditor,
            backend,
            accept_refusal,
            color,
        } => {
            clean_up_on_signals()?;
            let check = Check {
                auditor: std::path::absolute(auditor)?,
                backend,
                helpers: helpers_beside_self()?,
                paint: Paint::new(color),
            };
            let score = or_refused(check::run(&check), accept_refusal, &check.backend)?;
            Ok(summary(score))
        }
        Action::Lockdown { auditor, color } => {
            clean_up_on_signals()?;
            let check = Check {
                auditor: std::path::absolute(auditor)?,
                backend: "auto".to_owned(),
                helpers: helpers_beside_self()?,
                paint: Paint::new(color),
            };
            Ok(summary(lockdown::run(&check)?))
        }
        Action::E2e(what) => {
            clean_up_on_signals()?;
            Ok(summary(e2e::run(what)?))
        }
        Action::Load {
            auditor,
            pods,
            associations,
            rest,
            interval,
        } => {
            clean_up_on_signals()?;
            let load = Load {
                auditor: auditor.options()?,
                helpers: helpers_beside_self()?,
                pods,
                associations,
                rest: Duration::from_secs(rest),
                interval: Duration::from_secs(interval),
            };
            println!("{}", load::run(&load)?);
            Ok(true)
        }
        Action::Measure(what) => {
            clean_up_on_signals()?;
            println!("{}", what.run()?);
            Ok(true)
        }
        Action::Soak {
            auditor,
            minutes,
            interval,
        } => {
            clean_up_on_signals()?;
            let soak = soak::Soak {
                subject: auditor.subject()?,
                length: Duration::try_from_secs_f64(minutes * 60.0)?,
                interval: Duration::try_from_secs_f64(interval)?,
            };
            let (report, score) = soak::run(&soak)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(summary(score))
        }
        Action::Apiserver {
            pods,
            node,
            bookmarks,
            dir,
        } => {
            let (node, dir) = (node.as_str(), dir.as_path());
            let bookmarks = Duration::from_secs(bookmarks.max(1));
            let serve = Serve {
                pods,
                node,
                bookmarks,
                dir,
            };
            serve::run(&serve).map(|()| true)
        }
        Action::Probes { auditor } => {
            print!("{}", probes::run(&auditor)?);
            Ok(true)
        }
        Action::Guest => guest::run().map(|()| true),
    }
}

/// A kernel that refuses the backend is a skip, where that is accepted.
fn or_refused<T: From<Score>>(played: Result<T>, accept_refusal: bool, backend: &str) -> Result<T> {
    match played {
        Err(e) if accept_refusal && refusal(&format!("{e:#}")).is_some() => {
            let why = refusal(&format!("{e:#}")).unwrap_or_default();
            println!("refused {backend}: {why}");
            let skipped = Score {
                skipped: 1,
                ..Score::default()
            };
            Ok(skipped.into())
        }
        played => played,
    }
}

/// Prints the line that ends a run; whether all was as it should be.
fn summary(score: Score) -> bool {
    println!("{score}");
    is_right(&score)
}

fn is_right(score: &Score) -> bool {
    score.failed == 0 && score.passed + score.skipped > 0
}
