//! The lab's program.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

use self::cli::{Action, Cli, act};

fn main() -> ExitCode {
    // The kernel starts PID 1 of the virtual machine as /init, without arguments that it knows.
    let command = if std::process::id() == 1 {
        Action::Guest
    } else {
        Cli::parse().command
    };
    match act(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("lab: {e:#}");
            ExitCode::FAILURE
        }
    }
}
