//! The attack simulation before a real Prometheus: exactly the alerts fire that it announces, by its own `verify`.

use std::path::Path;

use anyhow::{Context, Result};

use super::watch::Watch;
use crate::{
    auditor::Auditor,
    play::Fence,
    scene::Stage,
    simulation::{Asked, verified},
};

/// Plays it and asks `auditor simulate verify`; what fires for it counts as raised. What was seen, for a human.
pub fn perform(
    stage: &mut Stage,
    program: &Path,
    auditor: &mut Auditor,
    fence: &Fence,
    watch: &mut Watch,
) -> Result<String> {
    let asked = Asked::Prometheus(watch.api().addr);
    let verified = verified(stage, program, auditor, fence, asked)?;
    for one in &verified.watched {
        watch.count(one["alert"].as_str().context("no alert")?);
    }
    Ok(format!(
        "{} alerts announced: {:?}",
        verified.watched.len() + verified.unwatched.len(),
        verified.states
    ))
}
