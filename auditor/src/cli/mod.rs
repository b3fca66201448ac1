//! The command line: flags ([`args`]), what they mean ([`config`]), and how a command ends ([`exit`]).
//!
//! In two steps: clap fills the raw structs, then pure functions give them a meaning and refuse what has none. What
//! must be looked up on the machine (host name, instance id) is in [`defaults`] and nowhere else.

mod args;
mod check;
mod config;
mod defaults;
mod duration;
mod endpoint;
mod exit;
mod explain;
mod files;
mod generate;
mod lint;
mod log;
mod output;
mod policy;
mod remove_state;
mod replay;
mod simulate;
mod source;
mod status;
mod stderr;
mod sync;
mod tail;

use std::ffi::OsString;

use clap::Parser;

pub use args::{Cli, Command, RunArgs};
pub use check::{CheckArgs, CheckOutput};
pub use config::{ArgsMode, Backend, MetricsListen, RunConfig, UsageError};
pub use defaults::NodeFacts;
pub use endpoint::{BUILT_IN, BuiltIn, Endpoint};
pub use exit::{Exit, Failure};
pub use explain::{ExplainArgs, ExplainOutput};
pub(crate) use files::{print, read_file};
pub use generate::{CompletionsArgs, ManArgs, completions, man};
pub use lint::{FailOn, LintArgs, LintConfig, LintOutput, lint};
pub use log::init_logging;
pub use output::OutputFormat;
pub use policy::{PolicyArgs, PolicyCheckArgs, PolicyCommand, PolicySuggestArgs};
pub use remove_state::RemoveStateArgs;
pub use replay::{ReplayArgs, ReplayConfig, ReplayOutput};
pub use simulate::{
    PlanArgs, PlayArgs, SimulateArgs, SimulateCommand, SimulateOutput, VerifyArgs, simulate,
};
pub use source::{AssociationSource, ClusterSource};
pub use status::{StatusArgs, StatusOutput};
pub(crate) use stderr::Stderr;
pub use sync::{SyncArgs, SyncConfig, SyncFrom, SyncTo};
pub use tail::{TailArgs, TailConfig};

/// Reads the command line.
///
/// # Errors
/// [`Exit`] when there is nothing more to do: `--help` and `--version` were printed (0), or the usage message was (2).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Exit> {
    Cli::try_parse_from(args)
        .map(|cli| cli.command)
        .map_err(|error| {
            // Help goes to stdout and complaints to stderr; a closed one leaves nobody to tell.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            }
        })
}

#[cfg(test)]
mod deployed;
#[cfg(test)]
mod tests;
