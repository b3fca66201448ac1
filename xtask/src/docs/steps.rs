//! The newcomer's hour, as CONTRIBUTING.md has it: what is typed, what is changed, and what must be seen.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Parser, Tag, TagEnd};

use crate::process;

pub const GUIDE: &str = "CONTRIBUTING.md";
/// The section whose blocks are steps.
const SECTION: &str = "The first hour";

/// A fenced block of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// ` ```sh `: typed into a shell at the root of the clone.
    Type(String),
    /// ` ```diff `: changed in an editor.
    Change(String),
    /// ` ```text `: each line is part of what the command before printed; `…` stands for anything.
    See(String),
}

/// # Errors
/// When the section is not there, or has a block of another language.
pub fn of(guide: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let (mut is_within, mut is_heading, mut was_found) = (false, false, false);
    let mut block: Option<(String, String)> = None;
    for event in Parser::new(guide) {
        match event {
            Event::Start(Tag::Heading {
                level: HeadingLevel::H2,
                ..
            }) => (is_heading, is_within) = (true, false),
            Event::End(TagEnd::Heading(_)) => is_heading = false,
            Event::Text(text) if is_heading => {
                is_within = *text == *SECTION;
                was_found |= is_within;
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if is_within => {
                block = Some((language.to_string(), String::new()));
            }
            Event::Text(text) => {
                if let Some((_, code)) = &mut block {
                    code.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some((language, code)) = block.take() {
                    steps.push(match language.as_str() {
                        "sh" => Step::Type(code),
                        "diff" => Step::Change(code),
                        "text" => Step::See(code),
                        other => bail!("{GUIDE}: `{other}` is no step: sh, diff or text"),
                    });
                }
            }
            _ => {}
        }
    }
    ensure!(was_found, "{GUIDE} has no section `{SECTION}`");
    Ok(steps)
}

/// All changes as one patch, which is independent of the order where no two touch the same place.
pub fn patch(steps: &[Step]) -> String {
    let changes = steps.iter().filter_map(|step| match step {
        Step::Change(diff) => Some(diff.as_str()),
        Step::Type(_) | Step::See(_) => None,
    });
    changes.collect()
}

/// The lines of `seen` that `output` does not have. In any order: tests end in theirs.
pub fn missing<'a>(seen: &'a str, output: &str) -> Vec<&'a str> {
    seen.lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|wanted| !output.lines().any(|line| has(line, wanted)))
        .collect()
}

/// Whether the line has the parts between `…`, in this order.
fn has(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    wanted.trim().split('…').all(|part| {
        rest.find(part).is_some_and(|at| {
            rest = &rest[at + part.len()..];
            true
        })
    })
}

/// Runs a command with `input` as its standard input.
///
/// # Errors
/// When it cannot start or ends with another status than 0.
pub fn feed(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::shown(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it says why by its status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let status = child.wait()?;
    ensure!(
        status.success(),
        "`{}` failed: {status}",
        process::shown(command)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# C\n```sh\nno step\n```\n## The first hour\n\n```sh\nmake\n```\n\n```text\nok …s\n```\n\
        ### More\n1. Change:\n   ```diff\n   --- a/x\n   +++ b/x\n   ```\n## Another\n```rust\nfn main() {}\n```\n";

    #[test]
    fn the_sections_blocks_are_its_steps() {
        let steps = of(TEXT).unwrap();
        assert_eq!(
            steps,
            [
                Step::Type("make\n".into()),
                Step::See("ok …s\n".into()),
                Step::Change("--- a/x\n+++ b/x\n".into()),
            ]
        );
        assert_eq!(patch(&steps), "--- a/x\n+++ b/x\n");
        assert!(of("# C\n").is_err());
        assert!(of("## The first hour\n```rust\n```\n").is_err());
    }

    #[test]
    fn what_is_to_be_seen_is_looked_for() {
        let output = "   ok   long 5 ms\nnoise\n3 passed, 0 failed\n";
        assert_eq!(missing("ok …ms\n\n3 passed\n", output), [""; 0]);
        assert_eq!(missing("3 passed\nok\n", output), [""; 0]);
        assert_eq!(missing("4 passed\nok\n", output), ["4 passed"]);
        assert_eq!(missing("ok … s\n", output), ["ok … s"]);
    }
}
