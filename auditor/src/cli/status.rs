//! `auditor status`: its flags.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::text::ColorChoice;

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  On the node, or in the auditor's pod:
    auditor status --state-dir /var/lib/auditor

  In a cluster:
    kubectl exec -n credential-auditor ds/credential-auditor -- \
      /auditor status --state-dir /var/lib/credential-auditor

  Was anything lost?
    auditor status --state-dir /var/lib/auditor --output json | jq .lost

EXIT STATUS:
  0  the auditor answered; whether it is ready stands in the answer (`not_ready`)
  1  the environment: no auditor runs there, or this user may not ask it
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StatusOutput {
    /// For people
    #[default]
    Text,
    /// One object; docs/status.md says what its fields mean
    Json,
}

#[derive(Args, Clone, Debug, Default)]
pub struct StatusArgs {
    /// The --state-dir of the `auditor run` that is asked
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,

    /// How to print the answer
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = StatusOutput::Text)]
    pub output: StatusOutput,

    /// Whether to colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}
