//! The auditor's command line.

use auditor::cli::{self, Command, Exit};

fn main() -> Exit {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(exit) => return exit,
    };
    let result = match command {
        Command::Run(args) => auditor::run::run(*args),
        Command::Check(args) => match auditor::check::run(*args) {
            Ok(exit) => return exit,
            Err(failure) => Err(failure),
        },
        Command::SyncAssociations(args) => auditor::sync::run(*args),
        Command::Tail(args) => auditor::tail::run(*args),
        Command::Status(args) => auditor::status::run(&args),
        Command::Completions(args) => cli::completions(&args),
        Command::Man(args) => cli::man(&args),
        Command::Explain(args) => return done(auditor::explain::run(args)),
        Command::Replay(args) => return done(auditor::replay::run(args)),
        Command::Lint(args) => return done(cli::lint(args)),
        Command::Simulate(args) => return done(cli::simulate(args)),
        Command::Policy(args) => return done(auditor::policy_command::run(args)),
        Command::RemoveState(args) => auditor::remove_state::run(&args),
        Command::Probes => auditor::probe::print_verified().map_err(cli::Failure::from),
    };
    match result {
        Ok(()) => Exit::Success,
        Err(failure) => failure.report(),
    }
}

fn done(result: Result<Exit, cli::Failure>) -> Exit {
    result.unwrap_or_else(|failure| failure.report())
}
