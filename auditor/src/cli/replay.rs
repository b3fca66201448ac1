//! The flags of `auditor replay`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{UsageError, files::file_source};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  What a policy would change of what was recorded, before it is rolled out:
    auditor replay docs/samples/recorded.jsonl \
      --policy manifests/policy/default.yaml

  What was judged by other role bindings, and pods as they are now:
    auditor replay docs/samples/recorded.jsonl \
      --policy manifests/policy/default.yaml \
      --associations file:docs/samples/associations.json

  Which events would become violations, for a program:
    auditor replay docs/samples/recorded.jsonl --output json \
      --associations file:docs/samples/associations.json |
      jq -r '.changes[] | select(.after.verdict == "violation") | .id'

Not all that was known then is on a line. What a line cannot be judged again by is counted and named.

EXIT STATUS:
  0  judged again, whatever came of it
  1  a file cannot be read, or is not what it should be
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReplayOutput {
    #[default]
    Text,
    Json,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ReplayArgs {
    /// Recorded events, one line of JSON each, in the order in which they were written; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Judge by this policy [default: the built-in rules]
    #[arg(long, value_name = "PATH")]
    pub policy: Option<PathBuf>,

    /// Judge by these associations, as of right after each event; as `run` takes them [default: what each line tells]
    #[arg(long, value_name = "file:PATH")]
    pub associations: Option<String>,

    /// Judge by these pods and ServiceAccounts, as of right after each event; as `run` takes them [default: what each line tells]
    #[arg(long, value_name = "file:PATH")]
    pub cluster: Option<String>,

    /// Of associations of several clusters, those of this one
    #[arg(long, env = "CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: Option<String>,

    /// How to print what changes
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ReplayOutput::Text)]
    pub output: ReplayOutput,
}

/// What they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    pub files: Vec<PathBuf>,
    pub policy: Option<PathBuf>,
    pub associations: Option<PathBuf>,
    pub cluster: Option<PathBuf>,
    pub cluster_name: Option<String>,
    pub output: ReplayOutput,
}

impl ReplayArgs {
    /// # Errors
    /// When a source is no file.
    pub fn config(self) -> Result<ReplayConfig, UsageError> {
        let Self {
            files,
            policy,
            associations,
            cluster,
            cluster_name,
            output,
        } = self;
        Ok(ReplayConfig {
            files,
            policy,
            associations: file_source(
                "--associations",
                associations,
                "--associations file:associations.json",
            )?,
            cluster: file_source("--cluster", cluster, "--cluster file:cluster.json")?,
            cluster_name,
            output,
        })
    }
}
