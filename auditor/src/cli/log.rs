//! The auditor's own log. Stdout belongs to the events.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use super::stderr::Stderr;
use crate::plain::Entries;

/// What is wrong with a filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("{0:?} is no level")]
    NoLevel(String),
    #[error(transparent)]
    Directives(#[from] ParseError),
}

/// A word alone, which tracing takes for a target, is a level here: a typo would silence everything.
///
/// # Errors
/// When `filter` is no level and no list of tracing's directives.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, FilterError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let mut words = filter.split(',').map(str::trim);
    let is_bare = |word: &&str| !word.contains(['=', ':', '[']);
    let wrong =
        words.find(|word| is_bare(word) && !LEVELS.contains(&word.to_ascii_lowercase().as_str()));
    if let Some(word) = wrong {
        return Err(FilterError::NoLevel(word.to_owned()));
    }
    Ok(EnvFilter::builder().parse(filter)?)
}

/// Sends the log to stderr. Call once; a second call changes nothing.
///
/// # Errors
/// When `filter` is malformed; [`super::RunConfig`] holds none such.
pub fn init_logging(filter: &str) -> Result<(), FilterError> {
    // kube's client calls each failed request an error; whether it is one is said by who made it.
    let filter = parse_filter(&format!("kube_client=off,{filter}"))?;
    let coloured = io::stderr().is_terminal();
    // Fails only where a log is set up already, as in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Entries {
            to: Stderr,
            coloured,
        })
        .with_ansi(coloured)
        .with_target(false)
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_no_target() {
        for good in [
            "info",
            "WARN",
            "auditor::kube=debug,info",
            "kube_client=off,trace",
        ] {
            assert!(parse_filter(good).is_ok(), "{good}");
        }
        for bad in ["foo", "warning", "inof", "", "info,debgu"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }
}
