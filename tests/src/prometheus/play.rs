//! Plays the watched scenes, and holds Prometheus' alerts against what each must raise.

use std::{fs, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    queries,
    server::Prometheus,
    simulation,
    watch::{Watch, annotation},
    watched::{WATCHED, Watched},
};
use crate::{
    auditor::{self, Auditor},
    node::Lab,
    play::{Fence, Score, finish, introduction, know, settle, stage},
    report::{self, Mark, Paint},
    scene::{self, Stage},
};

pub struct Options {
    pub auditor: auditor::Options,
    pub helpers: PathBuf,
    pub prometheus: PathBuf,
    /// The rule file.
    pub rules: PathBuf,
    /// A JSON list of [`queries::Query`] to ask at the end, and where they go with their answers.
    pub queries: Option<(PathBuf, PathBuf)>,
    pub paint: Paint,
}

pub fn run(options: &Options) -> Result<Score> {
    let mut stage = stage(Lab::new(&options.helpers)?)?;
    let fence = Fence::start(&mut stage.lab)?;
    let (mut auditor, ready) = Auditor::start(&stage.lab, &options.auditor)?;
    println!("{}", options.paint.dim(&introduction(&ready)));
    know(&mut stage, &options.auditor, &ready);
    let metrics = ready["metrics"].as_str().context("no metrics address")?;
    let begun = queries::now();
    let prometheus = Prometheus::start(&stage.lab, &options.prometheus, &options.rules, metrics)?;
    let mut watch = Watch::new(prometheus, &options.rules)?;
    watch.await_first_scrape()?;
    // As in `play`: timestamps of pods have whole seconds.
    thread::sleep(Duration::from_secs(1));
    let mut score = Score::default();
    let mut note = |mark: Mark, name: &str, about: &str, trouble: &str| {
        println!("{}", report::step(options.paint, mark, name, about));
        trouble.lines().for_each(|line| println!("       {line}"));
        match mark {
            Mark::Passed => score.passed += 1,
            Mark::Failed => score.failed += 1,
            Mark::Skipped => score.skipped += 1,
        }
    };
    for watched in WATCHED {
        let before = stage.lab.pod_count();
        let result = perform(watched, &mut stage, &mut auditor, &fence, &mut watch);
        let skipped = stage.skipped.take();
        match (&result, &skipped) {
            (Err(error), _) => note(Mark::Failed, watched.scene, "", &format!("{error:#}")),
            (Ok(said), None) => note(Mark::Passed, watched.scene, said, ""),
            (Ok(_), Some(why)) => note(Mark::Skipped, watched.scene, why, ""),
        }
        stage.lab.delete_pods(before)?;
    }
    let before = stage.lab.pod_count();
    let program = &options.auditor.program;
    match simulation::perform(&mut stage, program, &mut auditor, &fence, &mut watch) {
        Ok(said) => note(Mark::Passed, "simulation", &said, ""),
        Err(error) => note(Mark::Failed, "simulation", "", &format!("{error:#}")),
    }
    stage.lab.delete_pods(before)?;
    let asked = match &options.queries {
        Some((from, to)) => {
            let mut queries = queries::read(from)?;
            let answers = queries::ask(watch.api(), &mut queries, begun);
            fs::write(to, serde_json::to_vec(&queries)?)?;
            answers
        }
        None => Vec::new(),
    };
    for answer in asked.iter().filter_map(|answer| answer.as_ref().err()) {
        note(Mark::Failed, "query", "", answer);
    }
    let answered = asked.iter().filter(|answer| answer.is_ok()).count();
    if answered > 0 {
        note(
            Mark::Passed,
            "queries",
            &format!("{answered} of the dashboard are answered"),
            "",
        );
    }
    match watch.settle() {
        Ok(said) => note(Mark::Passed, "nothing-else", &said, ""),
        Err(error) => note(Mark::Failed, "nothing-else", "", &format!("{error:#}")),
    }
    if let Err(error) = finish(auditor) {
        note(Mark::Failed, "at the end", "", &format!("{error:#}"));
    }
    match watch.await_down() {
        Ok(said) => note(Mark::Passed, "auditor-down", &said, ""),
        Err(error) => note(Mark::Failed, "auditor-down", "", &format!("{error:#}")),
    }
    Ok(score)
}

/// Plays one scene; its lines must be as ever, and its alerts must fire. What was seen, for a human.
fn perform(
    watched: &Watched,
    stage: &mut Stage,
    auditor: &mut Auditor,
    fence: &Fence,
    watch: &mut Watch,
) -> Result<String> {
    let scenes = scene::all();
    let scene = scenes.iter().find(|scene| scene.name == watched.scene);
    let scene = scene.with_context(|| format!("there is no scene {}", watched.scene))?;
    let played = (scene.play)(stage).context("playing the scene");
    let (tally, _) = settle(played, &mut stage.lab, auditor, fence, &mut |_| false)?;
    ensure!(tally.exact(), "{tally}");
    if stage.skipped.is_some() {
        return Ok(String::new());
    }
    let mut said = Vec::new();
    let is_watched = |hook: &str| stage.hooks.get(hook).is_some_and(|by| by != "none");
    let raised = watched.raised.iter();
    for raised in raised.filter(|raised| raised.hook.is_none_or(is_watched)) {
        let alert = watch.await_raised(raised)?;
        said.push(format!(
            "{}: {}",
            raised.alert,
            annotation(&alert, "summary")
        ));
    }
    Ok(match said.is_empty() {
        true => "no alert".to_owned(),
        false => said.join("; "),
    })
}
