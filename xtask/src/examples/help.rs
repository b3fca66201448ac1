//! The examples of `--help`: of each command of the auditor, and of each task of xtask.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use super::document::Block;
use crate::process;

/// The examples of `auditor COMMAND --help`; a command without any is an error.
///
/// # Errors
/// When the auditor does not tell.
pub fn of_auditor(auditor: &Path) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for command in commands(&help(auditor, &[])?) {
        let text = help(auditor, &[&command])?;
        let examples = text
            .split_once("EXAMPLES:\n")
            .map(|(_, rest)| indented(rest, 4));
        let examples = examples.unwrap_or_default();
        ensure!(
            !examples.is_empty(),
            "`auditor {command} --help` has no examples"
        );
        blocks.push(block(
            format!("auditor {command} --help"),
            examples.join("\n"),
        ));
    }
    Ok(blocks)
}

/// The examples of `cargo xtask`, of its tasks and of theirs.
///
/// # Errors
/// When it does not tell.
pub fn of_xtask(xtask: &Path) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut left = vec![Vec::new()];
    while let Some(task) = left.pop() {
        let words: Vec<&str> = task.iter().map(String::as_str).collect();
        let text = help(xtask, &words)?;
        left.extend(
            commands(&text)
                .into_iter()
                .map(|name| [task.clone(), vec![name]].concat()),
        );
        let examples = match (
            text.split_once("\nExamples:\n"),
            text.split_once("\nExample: "),
        ) {
            (Some((_, rest)), _) => indented(rest, 2),
            (_, Some((_, rest))) => rest.lines().next().map(str::to_owned).into_iter().collect(),
            _ => continue,
        };
        // What is said about a command stands behind it, two columns or more away.
        let plain = examples.iter().filter_map(|line| line.split("  ").next());
        let plain: Vec<&str> = plain.collect();
        blocks.push(block(
            format!("cargo xtask {} --help", task.join(" ")),
            plain.join("\n"),
        ));
    }
    Ok(blocks)
}

fn help(program: &Path, command: &[&str]) -> Result<String> {
    let mut help = Command::new(program);
    // Wide enough for every line to be one.
    help.args(command).arg("--help").env("COLUMNS", "1000");
    process::capture(&mut help)
}

fn block(document: String, text: String) -> Block {
    Block {
        document,
        line: 1,
        section: String::new(),
        language: "sh".into(),
        text: text + "\n",
    }
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let list = help.split_once("Commands:\n").map_or("", |(_, list)| list);
    list.lines()
        .take_while(|line| !line.is_empty())
        // A text that goes on below is indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Lines that are indented by so much, up to the next heading.
fn indented(text: &str, by: usize) -> Vec<String> {
    let indentation = " ".repeat(by);
    text.lines()
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .filter_map(|line| line.strip_prefix(&indentation))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_indented_below_the_heading() {
        let text = "  One:\n    auditor a \\\n        --b\n\n  Two:\n    auditor c\nEXIT STATUS:\n    0  x\n";
        assert_eq!(indented(text, 4), ["auditor a \\", "    --b", "auditor c"]);
        let help = "x\n\nCommands:\n  run   Runs\n          on\n  help  H\n\nOptions:\n  -h\n";
        assert_eq!(commands(help), ["run"]);
    }
}
