//! `auditor explain`: why an event got its verdict, rule by rule, with what was known then.

mod facts;
mod question;
mod rules;
mod text;

use std::path::Path;

use serde::Serialize;

pub use rules::{Outcome, RuleSaid, explain_rules};

use crate::{
    cli::{Exit, ExplainArgs, ExplainOutput, Failure},
    event::Verdict,
    policy::Policy,
    recorded::{Line, find},
};

/// All that there is to say of one event.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub id: String,
    pub event: &'static str,
    pub time: String,
    pub verdict: Option<Verdict>,
    /// What the verdict lacked.
    pub undetermined: Vec<String>,
    pub rules: Vec<RuleSaid>,
    /// What was known, by name.
    pub known: Vec<(&'static str, String)>,
    /// What the line does not tell, and the rules were asked without.
    pub not_on_the_line: Vec<&'static str>,
}

/// # Errors
/// When the file cannot be read, or has no such event.
pub fn run(args: ExplainArgs) -> Result<Exit, Failure> {
    let config = args;
    let policy = match &config.policy {
        Some(path) => Some(
            Policy::parse(&crate::cli::read_file(path)?).map_err(|error| {
                Failure::environment(anyhow::anyhow!("{}: {error}", path.display()))
            })?,
        ),
        None => None,
    };
    let (line, connect) = look_up(&config.file, &config.id)?;
    let explanation = explain(&line, connect.as_ref(), policy.as_ref());
    let text = match config.output {
        ExplainOutput::Text => text::render(&explanation),
        ExplainOutput::Json => {
            let mut text = serde_json::to_string(&explanation).map_err(Failure::environment)?;
            text = crate::plain::json(&text);
            text.push('\n');
            text
        }
    };
    crate::cli::print(&text)?;
    Ok(Exit::Success)
}

fn look_up(file: &Path, id: &str) -> Result<(Line, Option<Line>), Failure> {
    let path = file.display();
    match find(file, id).map_err(Failure::environment)? {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Failure::environment(anyhow::anyhow!(
            "{path} has no event {id} that was judged"
        ))
        .help("give the `id` of a line, or its beginning or end; `ready`, `health` and `summary` lines have no verdict")),
        Err(several) => Err(Failure::environment(anyhow::anyhow!(
            "{several} events of {path} have an id that begins or ends with {id}"
        ))
        .help("give more of it")),
    }
}

/// `connect`: of a connection's end, the line of its beginning. `policy`: the one that it was judged by, where that is at hand.
#[must_use]
pub fn explain(line: &Line, connect: Option<&Line>, policy: Option<&Policy>) -> Explanation {
    let told = line.verdicts();
    let (rules, mut not_on_the_line) = explain_rules(line, connect, policy);
    not_on_the_line.extend(facts::left_out(line));
    Explanation {
        id: line.id.clone(),
        event: line.event(),
        time: line.time.to_string(),
        verdict: told.and_then(|told| told.verdict),
        undetermined: told.map_or_else(Vec::new, |told| told.undetermined.to_vec()),
        rules,
        known: facts::known(line, connect, policy),
        not_on_the_line,
    }
}

#[cfg(test)]
mod tests;
