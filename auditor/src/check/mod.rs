//! `auditor check`: what this node supports and lacks. It does what `run` does up to its first line, piece by piece and with
//! the same code, goes on after a failure, and leaves nothing behind.

mod capabilities;
mod node;
mod probes;
mod report;
mod sources;
mod table;

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
};

pub use self::report::{Check, CheckReport, HookCheck, State, WayCheck};
use crate::{
    cli::{CheckArgs, CheckOutput, Exit, Failure, NodeFacts, RunConfig},
    metrics::Metrics,
    run::setup,
};

/// `auditor check`.
///
/// # Errors
/// On a flag without a meaning, and where the result cannot be printed.
pub fn run(args: CheckArgs) -> Result<Exit, Failure> {
    let (output, args) = args.split()?;
    let config = RunConfig::new(args, NodeFacts::look_up())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)?;
    let report = runtime.block_on(look(&config));
    let mut stdout = std::io::stdout();
    let text = match output {
        CheckOutput::Table => {
            let is_painted = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            table::render(&report, is_painted)
        }
        CheckOutput::Json => {
            let json = serde_json::to_string_pretty(&report).map_err(Failure::environment)?;
            json + "\n"
        }
    };
    stdout.write_all(text.as_bytes()).map_err(|error| {
        Failure::environment(anyhow::Error::new(error).context("cannot print the result"))
    })?;
    Ok(if report.ok {
        Exit::Success
    } else {
        Exit::Environment
    })
}

async fn look(config: &RunConfig) -> CheckReport {
    let mut checks = vec![node::kernel(), probes::btf(), node::lockdown()];
    checks.extend(capabilities::look());
    let surveyed = probes::look(config);
    checks.extend(surveyed.checks);
    checks.push(node::cgroup(config));
    checks.push(node::mountinfo(config, surveyed.canary));
    checks.push(node::kubelet_root(config));
    checks.push(node::agent_netns(config));
    checks.extend(sources::look(config, &Arc::new(Metrics::default())).await);
    checks.push(node::state_dir(config));
    checks.push(node::metrics_port(config));
    checks.push(node::output(config));
    CheckReport::new(
        setup::kernel_release(),
        checks,
        surveyed.hooks,
        surveyed.coverage,
    )
}
