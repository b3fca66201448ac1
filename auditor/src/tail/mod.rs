//! `auditor tail`: the stream of JSON for people.
//!
//! The stream is the auditor's own, but a file can be anybody's: every line is bounded, checked and rendered as text that cannot
//! control a terminal ([`crate::text`]), and what is no event is told and skipped.

mod filter;
mod input;
mod notes;
mod read;
mod runs;
mod screen;
mod split;
mod view;

use std::io::{self, IsTerminal as _};

use jiff::Timestamp;

pub use self::filter::{Filter, Name};
use self::{
    input::{Input, Step},
    screen::Screen,
    split::Splitter,
    view::View,
};
use crate::{
    cli::{Failure, TailArgs, TailConfig},
    text::Style,
};

/// Read at once.
const CHUNK: usize = 64 * 1024;

/// `auditor tail`.
///
/// # Errors
/// On a flag without a meaning, and when the input cannot be read or the output not be written. A reader of the output who is
/// gone is none.
pub fn run(args: TailArgs) -> Result<(), Failure> {
    let config = TailConfig::new(args, Timestamp::now())?;
    if config.file.is_none() && io::stdin().is_terminal() {
        let message = "there is nothing to read: name a file, or pipe the events in";
        return Err(Failure::usage(anyhow::anyhow!(message))
            .help("for example auditor tail /var/log/auditor.jsonl"));
    }
    let mut input = Input::open(config.file.as_deref(), config.follow)?;
    let name = input.name();
    match show(&config, &mut input) {
        Ok(()) => Ok(()),
        Err(End::ReaderGone) => Ok(()),
        Err(End::Output(error)) => Err(Failure::environment(
            anyhow::Error::new(error).context("cannot write to stdout"),
        )),
        Err(End::Input(error)) => Err(Failure::environment(
            anyhow::Error::new(error).context(format!("cannot read {name}")),
        )
        .help("name a file that `auditor run --output-file` writes, or pipe it in")),
    }
}

/// Why it ended before its input did.
enum End {
    ReaderGone,
    Input(io::Error),
    Output(io::Error),
}

impl End {
    fn of_output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Output(error),
        }
    }
}

fn show(config: &TailConfig, input: &mut Input) -> Result<(), End> {
    let mut screen = Screen::new(config.lines);
    let mut view = View::new(config.filter.clone(), input.name());
    let mut lines = Splitter::default();
    let mut buffer = vec![0; CHUNK];
    loop {
        // A terminal may have been made wider since.
        view.style = Style {
            ids: config.ids,
            ..Style::of_stdout(config.color)
        };
        match input.step(&mut buffer).map_err(End::Input)? {
            Step::Bytes(bytes) => {
                lines.feed(bytes, |number, line| view.take(number, line, &mut screen));
                screen.flush_full().map_err(End::of_output)?;
            }
            Step::Anew(why) => {
                lines.end(|number, line| view.take(number, line, &mut screen));
                lines = Splitter::default();
                view.begin_anew(why, &mut screen);
            }
            Step::Waiting(why) => view.say(why, &mut screen),
            Step::Idle => {
                view.pause(&mut screen);
                screen.flush().map_err(End::of_output)?;
                if !screen.wait() {
                    return Err(End::ReaderGone);
                }
            }
            Step::Blocked => {
                view.pause(&mut screen);
                screen.flush().map_err(End::of_output)?;
                if !screen.wait_for(input) {
                    return Err(End::ReaderGone);
                }
            }
            Step::End => {
                lines.end(|number, line| view.take(number, line, &mut screen));
                view.pause(&mut screen);
                return screen.flush().map_err(End::of_output);
            }
        }
    }
}
