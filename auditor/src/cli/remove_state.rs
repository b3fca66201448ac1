//! `auditor remove-state`: its flags.

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  On a node that is to have no auditor any more:
    auditor remove-state --state-dir /var/lib/auditor

  As the pod of a DaemonSet, which is started again when it ends (docs/install.md):
    auditor remove-state --state-dir /var/lib/auditor --stay

It removes what `auditor run` writes there, and the directory. It removes nothing where that is no directory (a link to one is none),
belongs to another user, may be written by others, has no lock that an auditor wrote, or holds anything else.

EXIT STATUS:
  0  the directory is gone, or was not there
  1  the environment: an auditor runs there, it is not known for an auditor's, holds something else, or cannot be removed
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Args, Clone, Debug, Default)]
pub struct RemoveStateArgs {
    /// The --state-dir of the `auditor run` that was
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,

    /// Wait for SIGTERM or SIGINT afterwards
    #[arg(long)]
    pub stay: bool,
}
