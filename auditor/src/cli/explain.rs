//! The flags of `auditor explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  Why the first violation of a recording is one:
    auditor explain docs/samples/recorded.jsonl \
      "$(jq -r 'select(.verdict == "violation") | .id' docs/samples/recorded.jsonl | head -n 1)"

  By the end of its id, with the policy that it was judged by, for a program:
    auditor explain --output json --policy manifests/policy/default.yaml \
      docs/samples/recorded.jsonl \
      "$(jq -r 'select(.verdict == "violation") | .id[-12:]' \
        docs/samples/recorded.jsonl | head -n 1)" |
      jq -r '.rules[] | select(.outcome == "fired") | .rule'

EXIT STATUS:
  0  explained
  1  the file cannot be read, or has no such event, or several
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    #[default]
    Text,
    Json,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ExplainArgs {
    /// Recorded events, one line of JSON each; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The event's `id`, or its beginning or end where no other has that
    #[arg(value_name = "ID")]
    pub id: String,

    /// The policy that it was judged by: tells more of rules that did not fire [default: the built-in rules]
    #[arg(long, value_name = "PATH")]
    pub policy: Option<PathBuf>,

    /// How to print it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ExplainOutput::Text)]
    pub output: ExplainOutput,
}
