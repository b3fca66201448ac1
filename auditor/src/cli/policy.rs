//! The flags of `auditor policy check` and `auditor policy suggest`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  Everything that is wrong with a policy, and what is doubtful:
    auditor policy check manifests/policy/default.yaml

  A policy proposed from what was recorded:
    auditor policy suggest docs/samples/recorded.jsonl

  The same with what a node has learned, to be read before it is used:
    auditor policy suggest --state-dir docs/samples/state \
      docs/samples/recorded.jsonl > proposed.yaml
    auditor policy check proposed.yaml

EXIT STATUS:
  0  the policy can be used; doubts are told
  1  it cannot, or a file cannot be read
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Args, Clone, Debug)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Subcommand, Clone, Debug)]
pub enum PolicyCommand {
    /// Name everything that is wrong with a policy, by line and column, and what is doubtful
    Check(PolicyCheckArgs),
    /// Propose a policy from recorded events: programs by ServiceAccount, exemptions, who uses the node's role. Nothing of
    /// it is in force until you have read it: what an attacker did while it was recorded is in it
    Suggest(PolicySuggestArgs),
}

#[derive(Args, Clone, Debug)]
pub struct PolicyCheckArgs {
    /// The policy; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub struct PolicySuggestArgs {
    /// Recorded events, one line of JSON each; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present = "state_dir")]
    pub files: Vec<PathBuf>,

    /// Also what the auditor of this --state-dir has learned (policy's `learn`)
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}
