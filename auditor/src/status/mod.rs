//! `auditor status`: a running auditor tells of itself over a socket in its state directory.
//!
//! The daemon's side is [`Control`], which never waits for who asks; what it tells is a [`Status`], put together when somebody
//! asks and not before, but for what must be counted as it happens ([`Activity`]).

mod activity;
mod ask;
mod control;
mod report;
mod socket;
mod table;

use std::io::Write as _;

pub(crate) use self::socket::NAME as SOCKET;
pub use self::{
    activity::Activity,
    control::{Control, Question},
    report::{
        HookState, Learning, Loss, SCHEMA, Sink, SourceState, Sources, Status, Talker, Talkers,
        Totals,
    },
};
use crate::{
    cli::{Failure, StatusArgs, StatusOutput},
    plain,
    text::Style,
};

/// `auditor status`.
///
/// # Errors
/// When no auditor answers there, and why.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let answer = ask::ask(&args.state_dir).map_err(|error| {
        let help = error.help();
        let failure = Failure::environment(error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })?;
    let text = match args.output {
        StatusOutput::Json => {
            let json = serde_json::to_string_pretty(&answer).map_err(Failure::environment)?;
            plain::json(&json) + "\n"
        }
        StatusOutput::Text => {
            let status: Status = serde_json::from_value(answer).map_err(|error| {
                Failure::environment(
                    anyhow::Error::new(error)
                        .context("the auditor that runs here is of another version"),
                )
                .help("ask it by its own executable, or with --output json")
            })?;
            table::render(&status, Style::of_stdout(args.color).painted)
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::environment(
            anyhow::Error::new(error).context("cannot print the answer"),
        )),
        _ => Ok(()),
    }
}
