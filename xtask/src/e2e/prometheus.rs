//! `cargo xtask e2e prometheus`: a real Prometheus reads a real auditor while real thefts are played, and its alerts fire.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    build::{self, Built},
    manifests::{Files, dashboard, picture, runbooks},
    process,
    prometheus::{self, Programs},
    summary::{Counts, Format, run_counted},
};

/// Scrapes are a second apart there, not thirty.
const RATE_INTERVAL: &str = "15s";
const RANGE: &str = "2m";

#[derive(clap::Args)]
pub struct Args {
    /// Draw the dashboard from the run into this file.
    #[arg(long, value_name = "SVG", num_args = 0..=1, default_missing_value = "docs/dashboard.svg")]
    picture: Option<PathBuf>,
    /// With programs that are built without optimisation.
    #[arg(long)]
    debug: bool,
    /// auto, fentry, kprobe or syscall.
    #[arg(long, default_value = "auto")]
    backend: String,
}

/// # Errors
/// Without root, and when Prometheus cannot be had.
pub fn run(args: &Args) -> Result<Counts> {
    if !process::is_root() {
        bail!(
            "the lab needs root (cgroups, mounts, namespaces, BPF): run `sudo cargo xtask e2e prometheus`"
        );
    }
    let programs = prometheus::programs()?;
    let built = if args.debug {
        build::debug()?
    } else {
        build::release()?
    };
    play(&built, &programs, args)
}

/// The suite as a part of `cargo xtask test`: skipped where it cannot run, and says why.
pub fn ci(built: &Built) -> Result<Counts> {
    let skipped = |why: &str| {
        println!("skipped: end to end with a real Prometheus: {why}");
        Ok(Counts {
            skipped: 1,
            ..Counts::default()
        })
    };
    if !process::is_root() {
        return skipped("not root (cgroups, mounts, namespaces and BPF need it)");
    }
    let args = Args {
        picture: None,
        debug: false,
        backend: "auto".to_owned(),
    };
    match prometheus::programs() {
        Ok(programs) => play(built, &programs, &args),
        Err(why) => skipped(&format!("{why:#}")),
    }
}

fn play(built: &Built, programs: &Programs, args: &Args) -> Result<Counts> {
    let files = Files::ours();
    let panels = dashboard::panels(&files.dashboard)?;
    let directory = process::target_directory();
    let queries = directory.join("e2e-prometheus-queries.json");
    let answers = directory.join("e2e-prometheus-answers.json");
    // Named as in the runbooks, whose queries are run there.
    let lines = directory.join("e2e-prometheus");
    fs::create_dir_all(&lines)?;
    let asked = dashboard::queries(&panels, RATE_INTERVAL, RANGE);
    fs::write(&queries, asked.to_string()).with_context(|| queries.display().to_string())?;
    let mut lab = Command::new(&built.lab);
    lab.args(["e2e", "prometheus", "--auditor"])
        .arg(&built.auditor);
    lab.args(["--backend", &args.backend]);
    lab.arg("--prometheus").arg(&programs.prometheus);
    lab.arg("--rules").arg(&files.rules);
    lab.arg("--queries").arg(&queries);
    lab.arg("--answers").arg(&answers);
    lab.arg("--output-file").arg(lines.join("events.jsonl"));
    let mut counts = run_counted(&mut lab, Format::Lab)?;
    counts += runbooks::on_lines(&files, &lines)?;
    if let Some(path) = &args.picture {
        let path = process::workspace().join(path);
        let answers: Value = serde_json::from_slice(&fs::read(&answers)?)?;
        let caption = caption(&programs.prometheus, &answers);
        fs::write(&path, picture::draw(&panels, &answers, &caption)?)
            .with_context(|| path.display().to_string())?;
        println!("picture: {}", path.display());
    }
    Ok(counts)
}

/// What the picture is, and is not.
fn caption(prometheus: &Path, answers: &Value) -> Vec<String> {
    let version = process::capture(Command::new(prometheus).arg("--version"));
    let version = version.unwrap_or_default();
    let version = version.split_whitespace().nth(2).unwrap_or("?");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let opens = answers.as_array().into_iter().flatten();
    let hooks = opens
        .filter(|answer| answer["panel"] == "How each hook is watched")
        .flat_map(|answer| answer["data"]["result"].as_array().into_iter().flatten());
    let file_open = hooks
        .map(|one| &one["metric"])
        .find(|metric| metric["hook"] == "file_open");
    let backend = file_open.and_then(|metric| metric["backend"].as_str());
    vec![
        format!(
            "Drawn by `cargo xtask e2e prometheus --picture` from the answers of Prometheus {version} to this dashboard's queries,"
        ),
        format!(
            "in a run of the lab's thefts: one node, Linux {}, file opens by {}. Scrapes 1 s apart, rates over {RATE_INTERVAL}.",
            kernel.trim(),
            backend.unwrap_or("?")
        ),
        "Not a screenshot of Grafana, which was not to be had there: titles, places and queries are the dashboard's,".to_owned(),
        "the drawing is our own.".to_owned(),
    ]
}
