//! `auditor replay`: recorded events judged again, under another policy or other bindings, and what that changes.

mod difference;
mod harvest;
mod judge;
mod text;

pub use difference::{Change, Count, Difference, Judged};
pub use judge::Replay;

use crate::{
    association,
    cli::{Exit, Failure, ReplayArgs, ReplayOutput},
    cluster,
    policy::Policy,
    recorded::{Given, read_files},
};

/// # Errors
/// When a file cannot be read, or is no policy, no list of pods or of associations.
pub fn run(args: ReplayArgs) -> Result<Exit, Failure> {
    let config = args.config()?;
    let policy = match &config.policy {
        Some(path) => {
            let text = crate::cli::read_file(path)?;
            Policy::parse(&text).map_err(|error| {
                Failure::environment(anyhow::anyhow!("{}: {error}", path.display()))
                    .help("`auditor policy check` names everything that is wrong with it")
            })?
        }
        None => Policy::default(),
    };
    let bad = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        Failure::environment(anyhow::anyhow!("{}: {error}", path.display()))
    };
    let contents = match &config.cluster {
        Some(path) => {
            Some(cluster::parse(&crate::cli::read_file(path)?).map_err(|error| bad(path, &error))?)
        }
        None => None,
    };
    let listing = match &config.associations {
        Some(path) => Some(
            association::parse(
                &crate::cli::read_file(path)?,
                config.cluster_name.as_deref(),
            )
            .map_err(|error| bad(path, &error))?,
        ),
        None => None,
    };
    let mut replay = Replay::new(policy, Given::new(contents, listing));
    let skipped =
        read_files(&config.files, |line| replay.take(line)).map_err(Failure::environment)?;
    let difference = replay.finish(skipped);
    let text = match config.output {
        ReplayOutput::Text => text::render(&difference),
        ReplayOutput::Json => {
            let mut text = serde_json::to_string(&difference).map_err(Failure::environment)?;
            text = crate::plain::json(&text);
            text.push('\n');
            text
        }
    };
    crate::cli::print(&text)?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests;
