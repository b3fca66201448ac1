//! `auditor simulate`: its flags, and what it prints.

use std::{
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure, UsageError, duration, files::print};
use crate::{
    plain,
    simulate::{
        Asked, NAMESPACE, Place, Refusal, SCENES, Scene, Verdict, list, named, plan_json,
        plan_text, play_all, verify,
    },
};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  Which scenes there are, and which alerts each must raise:
    auditor simulate --list

  All about one of them: what it does, why that is harmless, which rights it needs:
    auditor simulate plan --scene theft

  In a cluster: play all of them, and read what each pod announces (the image: IMAGE=… in manifests/simulate/cluster.env):
    kubectl apply -k manifests/simulate
    kubectl -n credential-auditor-simulation wait --for=condition=complete --timeout=5m job --all
    kubectl -n credential-auditor-simulation logs --tail=-1 --prefix \
      -l app.kubernetes.io/name=credential-auditor-simulation

  Does Prometheus say that exactly these alerts fire? (kubectl port-forward … 9090 before)
    auditor simulate verify --prometheus http://localhost:9090

  Without Prometheus: what the auditor of that node has found since it started:
    auditor simulate verify --auditor http://localhost:9756/metrics

  Leave nothing behind; and before they are played again, since a Job plays once:
    kubectl delete -k manifests/simulate

A Job that failed never completes: `wait` ends after its --timeout then, and the Job's log tells what was refused. Some alerts fire
for an hour after: within 80 minutes (the rule's five, that hour, and --since) `verify` cannot tell an earlier play from a new one.

docs/simulate.md says more.

EXIT STATUS:
  0  all that was asked for was played; `verify`: all that was announced fires, and nothing else
  1  something was refused, is missing, or was not announced; or nobody answers
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct SimulateArgs {
    /// List the scenes, who plays each, and which alerts it must raise
    #[arg(long)]
    pub list: bool,

    #[command(subcommand)]
    pub command: Option<SimulateCommand>,
}

#[derive(Subcommand, Clone, Debug)]
pub enum SimulateCommand {
    /// Tell of each scene what it does, why it is harmless, what it needs, and what must fire; and what is not simulated
    Plan(PlanArgs),
    /// Play the scenes of the pod that this runs in, one of manifests/simulate; refuses to run anywhere else
    Run(PlayArgs),
    /// Ask whether what the scenes announce fires, and nothing else of their namespace
    Verify(VerifyArgs),
    /// Do nothing until SIGTERM, as the victim does
    Hold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SimulateOutput {
    #[default]
    Text,
    Json,
}

#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Only this scene; repeatable [default: all]
    #[arg(long, value_name = "NAME")]
    pub scene: Vec<String>,

    /// The namespace that alerts will name
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,

    /// How to print it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = SimulateOutput::Text)]
    pub output: SimulateOutput,
}

#[derive(Args, Clone, Debug)]
pub struct PlayArgs {
    /// Only this scene; repeatable [default: all of this pod's component]
    #[arg(long, value_name = "NAME")]
    pub scene: Vec<String>,

    /// Do it: without this it is only told what would be played
    #[arg(long)]
    pub yes: bool,

    /// How long to wait for the victim to appear on this node
    #[arg(long, value_name = "SECONDS", default_value = "2m")]
    pub wait: String,

    /// How to print what was played
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = SimulateOutput::Text)]
    pub output: SimulateOutput,
}

#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Where Prometheus is, as its own pages begin; it must evaluate the rules of manifests/alerts
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "auditor",
        conflicts_with = "auditor"
    )]
    pub prometheus: Option<String>,

    /// Ask an auditor instead, by the URL of its metrics: its findings, not the alerts; repeatable
    #[arg(long, value_name = "URL")]
    pub auditor: Vec<String>,

    /// Only this scene; repeatable [default: all]
    #[arg(long, value_name = "NAME")]
    pub scene: Vec<String>,

    /// The namespace that they were played in
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,

    /// Alerts that fired within this time count: most are over after five minutes
    #[arg(long, value_name = "SECONDS", default_value = "15m")]
    pub since: String,

    /// How long to ask again while something is missing
    #[arg(long, value_name = "SECONDS", default_value = "5m")]
    pub timeout: String,

    /// How to print the answer
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = SimulateOutput::Text)]
    pub output: SimulateOutput,
}

/// # Errors
/// When a value is not allowed, this is no place for it, or nobody answers.
pub fn simulate(args: SimulateArgs) -> Result<Exit, Failure> {
    match args.command {
        None => print(&list()).map(|()| Exit::Success),
        Some(SimulateCommand::Plan(args)) => plan(&args),
        Some(SimulateCommand::Run(args)) => play(&args),
        Some(SimulateCommand::Verify(args)) => ask(args),
        Some(SimulateCommand::Hold) => hold(),
    }
}

fn plan(args: &PlanArgs) -> Result<Exit, Failure> {
    let scenes = chosen(&args.scene, |_| true)?;
    let namespace = namespace(&args.namespace)?;
    print(&match args.output {
        SimulateOutput::Text => plan_text(&scenes, namespace),
        SimulateOutput::Json => json(&plan_json(&scenes, namespace))?,
    })?;
    Ok(Exit::Success)
}

fn play(args: &PlayArgs) -> Result<Exit, Failure> {
    let wait = duration::parse("--wait", &args.wait)?;
    // A misspelt scene is told of anywhere.
    chosen(&args.scene, |_| true)?;
    let place = Place::at(Path::new("/"), wait).map_err(not_here)?;
    let scenes = chosen(&args.scene, |scene| place.admits(scene.actor).is_ok())?;
    if scenes.is_empty() {
        return Err(Failure::environment(anyhow::anyhow!(
            "no scene is {:?}'s",
            place.component
        )));
    }
    if !args.yes {
        print(&plan_text(&scenes, &place.namespace))?;
        return Err(Failure::usage(anyhow::anyhow!("nothing was played")).help("add --yes"));
    }
    let report = play_all(&place, &scenes);
    print(&match args.output {
        SimulateOutput::Text => report.text(),
        SimulateOutput::Json => json(&report)?,
    })?;
    Ok(status(report.is_whole()))
}

fn not_here(refusal: Refusal) -> Failure {
    Failure::environment(refusal).help(
        "scenes are played by the pods of manifests/simulate: kubectl apply -k manifests/simulate",
    )
}

fn ask(args: VerifyArgs) -> Result<Exit, Failure> {
    let scenes = chosen(&args.scene, |_| true)?;
    let namespace = namespace(&args.namespace)?;
    let since = duration::parse("--since", &args.since)?;
    let limit = duration::parse("--timeout", &args.timeout)?;
    if since < Duration::from_mins(1) {
        return Err(
            UsageError::value("--since", &args.since, "a minute or more", "--since 15m").into(),
        );
    }
    let asked = match args.prometheus {
        Some(base) => Asked::Prometheus(url("--prometheus", base)?),
        None => {
            let urls = args.auditor.into_iter();
            Asked::Auditors(
                urls.map(|one| url("--auditor", one))
                    .collect::<Result<_, _>>()?,
            )
        }
    };
    let verdict = runtime()?
        .block_on(verify(&asked, &scenes, namespace, since, limit, progress))
        .map_err(|why| {
            Failure::environment(anyhow::anyhow!("{why}"))
                .help("is it reachable from here? kubectl port-forward brings it to localhost")
        })?;
    print(&match args.output {
        SimulateOutput::Text => verdict.text(),
        SimulateOutput::Json => json(&verdict)?,
    })?;
    Ok(status(verdict.is_exact()))
}

/// To whoever waits; a closed stderr leaves nobody to tell.
fn progress(verdict: &Verdict) {
    let missing = verdict.missing();
    if missing > 0 {
        let all = verdict.answers.len();
        let _ = writeln!(
            io::stderr(),
            "{missing} of {all} not seen yet; asking again"
        );
    }
}

/// As PID 1 of a container it must want the signal, or the kernel does not deliver it.
fn hold() -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).map_err(Failure::environment)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        Ok(Exit::Success)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)
}

fn status(is_well: bool) -> Exit {
    if is_well {
        Exit::Success
    } else {
        Exit::Environment
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(Failure::environment)?;
    Ok(plain::json(&text) + "\n")
}

/// Those that are named, or all that `by_default` takes.
fn chosen(
    names: &[String],
    by_default: impl Fn(&Scene) -> bool,
) -> Result<Vec<&'static Scene>, UsageError> {
    if names.is_empty() {
        return Ok(SCENES.iter().filter(|scene| by_default(scene)).collect());
    }
    let scenes = names.iter().map(|name| {
        named(name).ok_or_else(|| {
            let all: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
            UsageError::value("--scene", name, all.join(", "), "--scene theft")
        })
    });
    scenes.collect()
}

/// It becomes part of a query.
fn namespace(name: &str) -> Result<&str, UsageError> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_name) {
        return Ok(name);
    }
    Err(UsageError::value(
        "--namespace",
        name,
        "a namespace's name",
        "--namespace credential-auditor-simulation",
    ))
}

fn url(flag: &'static str, url: String) -> Result<String, UsageError> {
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let is_plain = !url.contains(['?', '#']) && url.bytes().all(|byte| byte.is_ascii_graphic());
    match host {
        Some(host) if !host.is_empty() && is_plain => Ok(url),
        _ => Err(UsageError::value(
            flag,
            &url,
            "a URL of http or https without a query",
            "http://localhost:9090",
        )),
    }
}
