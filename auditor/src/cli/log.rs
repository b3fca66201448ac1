//! The auditor's own log. Stdout belongs to the events.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

/// # Errors
/// When `filter` is no level and no list of tracing's directives.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(filter)
}

/// Sends the log to stderr. Call once; a second call changes nothing.
///
/// # Errors
/// When `filter` is malformed; [`super::RunConfig`] holds none such.
pub fn init_logging(filter: &str) -> Result<(), ParseError> {
    // kube's client calls each failed request an error; whether it is one is said by who made it.
    let filter = parse_filter(&format!("kube_client=off,{filter}"))?;
    // Fails only where a log is set up already, as in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    Ok(())
}
