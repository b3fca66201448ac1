//! Commands are run, each in the order of its block, on copies of what they name.
//!
//! `auditor run` and what follows a file go on until they are stopped. What wants a cluster or AWS is held to accept what is typed: it
//! must fail for what is not there, never for how it was called.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{command, document::Block, outcome::Outcome, place::Place, tools::Tools};

/// How a command ends where all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself, with 0.
    Well,
    /// By itself, with 0, and it has said something.
    Says,
    /// Not before it is told to.
    Never,
    /// For want of a cluster, AWS or a fit node, but not by a word about its usage.
    NotByUsage,
}

fn end_of(document: &str, command: &str) -> End {
    let mut words = command::words(command);
    match (words.next(), words.next()) {
        (Some("jq"), _) => {
            // A runbook's query asks for one finding, which the sample may not have: `cargo xtask e2e prometheus` asks a run that has
            // it. Another asks for holes, and there are none.
            let may_be_silent = document.starts_with("manifests/runbooks/Credential")
                || command.contains("hole before");
            if may_be_silent { End::Well } else { End::Says }
        }
        (Some(program), Some(subcommand)) if program.ends_with("auditor") => match subcommand {
            "run" if command.contains("kube") && !command.contains("file:cluster.json") => {
                End::NotByUsage
            }
            "check" | "sync-associations" => End::NotByUsage,
            // Pods of a cluster play, and a Prometheus or an auditor is asked.
            "simulate" if command.contains(" verify") || command.contains(" run") => {
                End::NotByUsage
            }
            "run" => End::Never,
            _ if command.contains("--follow") || command.contains("--stay") => End::Never,
            _ => End::Well,
        },
        _ if command.contains("auditor check") => End::NotByUsage,
        _ => End::Well,
    }
}

/// Runs a block's commands.
pub fn run(tools: &Tools, block: &Block) -> Vec<Outcome> {
    let commands = command::split(&block.text);
    let commands = commands.and_then(|commands| Ok((Place::new(tools)?, commands)));
    let (place, commands) = match commands {
        Ok(both) => both,
        Err(error) => return vec![Outcome::of(block.place(), Err(error))],
    };
    let asks_a_daemon = commands
        .iter()
        .any(|command| command.contains("auditor status"));
    let _daemon = match asks_a_daemon.then(|| place.daemon()).transpose() {
        Ok(daemon) => daemon,
        Err(error) => return vec![Outcome::of(block.place(), Err(error))],
    };
    let mut outcomes = Vec::new();
    for command in commands {
        let told = command.trim().lines().collect::<Vec<_>>().join(" ⏎ ");
        let what = format!("{}: {told}", block.place());
        let mut words = command.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        outcomes.push(match words.find_map(|word| tools.missing(word)) {
            Some(why) => Outcome::skipped(what, why),
            None => Outcome::of(what, hold(&place, &block.document, &command)),
        });
    }
    outcomes
}

/// Runs a command, and holds its end against what it should be.
fn hold(place: &Place, document: &str, command: &str) -> Result<()> {
    // What stands for an id of the reader's own.
    let id = r#"events.jsonl "$(jq -r 'select(.verdict == "violation") | .id' events.jsonl | head -n 1)""#;
    let mut script = command.replace("events.jsonl ID", id);
    // What a reader puts into the background is waited for here: else nobody would know how it ended.
    if let Some(front) = script.trim_end().strip_suffix(" &") {
        script = front.to_owned();
    }
    if document == "docs/ocsf.md" {
        script = script.replace("events.jsonl", "ocsf.jsonl");
    }
    let end = end_of(document, &script);
    let limit = Duration::from_secs(match end {
        End::Well | End::Says => 60,
        End::Never => 3,
        End::NotByUsage => 10,
    });
    let code = place.start(&script)?.wait(limit)?;
    let (stdout, stderr) = place.said();
    let tail = |text: &str| {
        let lines: Vec<_> = text.trim_end().lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    };
    let said = format!("{}\n{}", tail(&stdout), tail(&stderr));
    if let Some((before, _)) = stderr.split_once(": command not found") {
        let program = before.rsplit([' ', '\n']).next().unwrap_or_default();
        bail!(
            "an example may start what xtask/src/examples/place.rs names, and `{program}` is not there: if it is harmless, add it to \
             PROGRAMS; if it wants what is not here, write a stub that asks the real program whether it takes the arguments (stubs/)"
        );
    }
    match (end, code) {
        (End::Well, Some(0)) => {}
        (End::Says, Some(0)) => ensure!(
            !stdout.trim().is_empty(),
            "it finds nothing in docs/samples/stream.jsonl"
        ),
        (End::Never, None) => {}
        (End::NotByUsage, None | Some(0 | 1)) => {
            let is_usage = said.contains("Usage:") || said.contains("not allowed: expected");
            ensure!(!is_usage, "{said}");
        }
        (_, Some(code)) => bail!("it ends with {code}, which is not {end:?}: {said}"),
        (_, None) => bail!("it had not ended after {} s: {said}", limit.as_secs()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_goes_on_and_what_wants_a_cluster() {
        for (command, end) in [
            ("jq . events.jsonl", End::Says),
            ("auditor run --cluster file:cluster.json", End::Never),
            ("sudo auditor run --cluster kube", End::NotByUsage),
            ("auditor tail --follow x", End::Never),
            ("auditor tail x", End::Well),
            ("target/release/auditor check", End::NotByUsage),
            ("kubectl exec p -- auditor check", End::NotByUsage),
            ("kubectl get pods", End::Well),
        ] {
            assert_eq!(end_of("docs/a.md", command), end, "{command}");
        }
        let runbook = "manifests/runbooks/CredentialTheft.md";
        assert_eq!(end_of(runbook, "jq . events.jsonl"), End::Well);
    }
}
