//! The raw flags of `auditor check`: those of `auditor run`, so that a manifest's can be pasted.

use clap::Args;

use super::{RunArgs, UsageError};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  With the flags of a DaemonSet's `auditor run`, in its pod:
    NODE_NAME=ip-10-0-1-5.ec2.internal auditor check --cluster kube \
      --cluster-name prod --host-proc /host/proc

  What is wrong, and what to do about it, for a program:
    auditor check --cluster kube --output json |
      jq -r '.checks[] | select(.state == "failed") | "\(.check): \(.remedy)"'

  Which techniques this node's kernel does not let the auditor see:
    auditor check --cluster kube --output json |
      jq -r '.coverage | to_entries[] | select(.value | not) | .key'

  Where an auditor runs already, its state directory and its port are in use, and said to be.

  Without --cluster the node is looked at all the same; that row then says FAILED.

EXIT STATUS:
  0  `auditor run` with these flags would work
  1  it would not, or would take the kubelet for a thief: what failed stands first, each with a remedy
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutput {
    Table,
    Json,
}

impl CheckArgs {
    /// How to print, and the flags of `run`; `--output` is ours.
    ///
    /// # Errors
    /// When `--output` says something else.
    pub fn split(self) -> Result<(CheckOutput, RunArgs), UsageError> {
        let Self { mut run } = self;
        let output = match run.output.take().as_deref() {
            None | Some("table") => CheckOutput::Table,
            Some("json") => CheckOutput::Json,
            Some(other) => {
                return Err(UsageError::value(
                    "--output",
                    other,
                    "`table` or `json`",
                    "--output json",
                ));
            }
        };
        Ok((output, run))
    }
}
