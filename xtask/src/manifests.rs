//! `cargo xtask manifests`: Helm chart, kustomize base, alert rules, dashboard and runbooks, checked and rendered.

mod cases;
mod chart;
mod check;
pub mod dashboard;
mod engines;
mod kustomize;
mod objects;
pub mod picture;
mod rules;
pub mod runbooks;
mod values;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::process;

pub use check::ci;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask manifests check      promtool on rules, rule tests and every query; Helm, kustomize and
                                   Kubernetes' schemas on what is deployed; the rest by eye of a program
  cargo xtask manifests render     writes the PrometheusRule from the rule file, and kustomize's workloads from the chart
  cargo xtask manifests render --runbooks https://git.example.com/you/eks-credential-auditor/blob/main")]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Ends with `N passed, N failed, N skipped`.
    Check,
    /// Writes credential-auditor.prometheusrule.yaml from credential-auditor.rules.yaml, and what kustomize deploys from the chart.
    Render {
        /// Where people read `manifests/runbooks`: what stands before that in each `runbook_url`.
        #[arg(long, value_name = "URL")]
        runbooks: Option<String>,
    },
}

/// Exit code 1 if anything failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.task {
        Task::Check => {
            let counts = ci()?;
            println!("{counts}");
            Ok(match counts.failed {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            })
        }
        Task::Render { runbooks } => {
            let files = Files::ours();
            if let Some(base) = runbooks {
                rules::rebase(&files, base.trim_end_matches('/'))?;
            }
            let rendered = rules::render(&read(&files.rules)?)?;
            fs::write(&files.prometheus_rule, rendered)
                .with_context(|| files.prometheus_rule.display().to_string())?;
            println!("{}", files.prometheus_rule.display());
            for path in kustomize::render(&engines::Engines::open()?)? {
                println!("{}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Where they are.
pub struct Files {
    pub rules: PathBuf,
    pub rule_tests: PathBuf,
    pub prometheus_rule: PathBuf,
    pub runbooks: PathBuf,
    pub dashboard: PathBuf,
}

impl Files {
    pub fn ours() -> Self {
        let manifests = process::workspace().join("manifests");
        let alerts = |name: &str| manifests.join("alerts").join(name);
        Self {
            rules: alerts("credential-auditor.rules.yaml"),
            rule_tests: alerts("credential-auditor.test.yaml"),
            prometheus_rule: alerts("credential-auditor.prometheusrule.yaml"),
            runbooks: manifests.join("runbooks"),
            dashboard: manifests.join("dashboards/credential-auditor.json"),
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
