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

use self::probes::Surveyed;
pub use self::report::{Check, CheckReport, HookCheck, State, WayCheck};
use crate::{
    cli::{CheckArgs, CheckOutput, Exit, Failure, NodeFacts, RunArgs, RunConfig},
    metrics::Metrics,
    plain,
    run::{host, setup},
};

/// `auditor check`.
///
/// # Errors
/// On a flag without a meaning, and where the result cannot be printed.
pub fn run(args: CheckArgs) -> Result<Exit, Failure> {
    let (output, args) = args.split()?;
    let names_cluster = args.cluster.is_some();
    let args = RunArgs {
        // The node can be looked at without.
        cluster: args.cluster.or_else(|| Some("file:/dev/null".to_owned())),
        ..args
    };
    let config = RunConfig::new(args, NodeFacts::look_up())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)?;
    let report = runtime.block_on(look(&config, names_cluster));
    let mut stdout = std::io::stdout();
    let text = match output {
        CheckOutput::Table => {
            let is_painted = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            table::render(&report, is_painted)
        }
        CheckOutput::Json => {
            let json = serde_json::to_string_pretty(&report).map_err(Failure::environment)?;
            plain::json(&json) + "\n"
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

/// `names_cluster`: `--cluster` was given.
async fn look(config: &RunConfig, names_cluster: bool) -> CheckReport {
    let mut checks = vec![node::kernel(), probes::btf(), node::lockdown(config)];
    checks.extend(capabilities::look());
    checks.push(node::open_files());
    let own_tgid = host::own_tgid(&config.host_proc);
    checks.push(node::host_proc(config, &own_tgid));
    let heard = sources::look(config, names_cluster, &Arc::new(Metrics::default())).await;
    let surveyed = match own_tgid {
        Ok(own_tgid) => {
            let surveyed = probes::look(config, own_tgid);
            checks.extend(surveyed.checks);
            checks.extend(node::cgroups(config, &heard.policy));
            checks.push(node::mountinfo(config, surveyed.canary));
            checks.push(node::kubelet_root(config));
            checks.push(node::agent_netns(config));
            Surveyed {
                checks: Vec::new(),
                ..surveyed
            }
        }
        Err(_) => {
            // What they said of another's /proc would mislead.
            let names = ["probes", "cgroup-v2", "kubelet", "mountinfo", "agent-netns"];
            checks.extend(names.map(node::not_looked_at));
            checks.push(node::kubelet_root(config));
            Surveyed::default()
        }
    };
    checks.extend(heard.checks);
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
