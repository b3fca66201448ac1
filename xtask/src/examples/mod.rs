//! `cargo xtask examples`: every example of the documents, of `auditor COMMAND --help` and of `cargo xtask --help` is run.
//!
//! A block of a document is run by the rule that `rules.rs` finds for it; one that no rule runs is a failure. Commands are run on
//! copies, in a network of their own (`shell.rs`, `place.rs`); data is given to what will read it (`data.rs`, `tests/examples`).

mod command;
mod data;
mod document;
mod help;
mod outcome;
mod place;
mod rules;
mod shell;
mod tools;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    document::Block,
    outcome::Outcome,
    rules::{Kind, Rule},
    tools::Tools,
};
use crate::{
    build::{self, Built},
    process,
    summary::Counts,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  sudo cargo xtask examples                      all of them
  sudo cargo xtask examples docs/policy.md       those of one document
  sudo cargo xtask examples --list               each block, and what runs it; runs none

A block that no rule runs is a failure: see xtask/src/examples/rules.rs.")]
pub struct Args {
    /// Only these documents.
    documents: Vec<PathBuf>,
    /// Print each block's place and rule instead.
    #[arg(long)]
    list: bool,
}

/// Exit code 1 if an example failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !args.list && !process::is_root() {
        bail!("examples are run in a network namespace: run `sudo cargo xtask examples`");
    }
    let mut blocks = Vec::new();
    let named = args
        .documents
        .iter()
        .map(std::path::absolute)
        .collect::<Result<Vec<_>, _>>()?;
    let documents = match named.is_empty() {
        true => document::all(process::workspace())?,
        false => named,
    };
    for path in documents {
        blocks.extend(read(&path)?);
    }
    let counts = if args.list {
        list(&blocks)
    } else {
        let built = build::release()?;
        let tools = Tools::find(&built)?;
        let mut counts = Counts::default();
        if args.documents.is_empty() {
            counts += stale(&blocks);
            blocks.extend(of_help(&tools)?);
        }
        counts += all(&tools, &blocks)?;
        counts
    };
    println!("{counts}");
    Ok(match counts.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The suite as a part of `cargo xtask test`.
///
/// # Errors
/// When a document cannot be read, or nothing can be started.
pub fn ci(built: &Built) -> Result<Counts> {
    if !process::is_root() {
        let why = "not root (examples are run in a network namespace)";
        return Ok(Outcome::skipped("examples".to_owned(), why.to_owned()).tell());
    }
    let mut blocks = Vec::new();
    for path in document::all(process::workspace())? {
        blocks.extend(read(&path)?);
    }
    let tools = Tools::find(built)?;
    let mut counts = stale(&blocks);
    blocks.extend(of_help(&tools)?);
    counts += all(&tools, &blocks)?;
    Ok(counts)
}

fn read(path: &std::path::Path) -> Result<Vec<Block>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let name = path.strip_prefix(process::workspace()).unwrap_or(path);
    document::blocks(&name.display().to_string(), &text)
}

fn of_help(tools: &Tools) -> Result<Vec<Block>> {
    let mut blocks = help::of_auditor(&tools.auditor)?;
    let of_xtask = help::of_xtask(&tools.xtask)?;
    ensure!(!of_xtask.is_empty(), "`cargo xtask --help` has no examples");
    blocks.extend(of_xtask);
    Ok(blocks)
}

/// Entries of the rules' tables that have outlived their block.
fn stale(blocks: &[Block]) -> Counts {
    let mut counts = Counts::default();
    for why in rules::stale(blocks) {
        let what = "xtask/src/examples/rules.rs".to_owned();
        counts += Outcome::of(what, Err(anyhow::anyhow!("{why}: take it out"))).tell();
    }
    counts
}

fn list(blocks: &[Block]) -> Counts {
    let mut counts = Counts::default();
    for block in blocks {
        let rule = rules::rule_of(block);
        let told = rule
            .as_ref()
            .map(|rule| format!("{rule:?}"))
            .unwrap_or_default();
        let what = format!("{} {} {told}", block.place(), block.language);
        counts += Outcome::of(what, rule.map(|_| ())).tell();
    }
    counts
}

fn all(tools: &Tools, blocks: &[Block]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut data: Vec<(Kind, Vec<&Block>)> = Vec::new();
    for block in blocks {
        match rules::rule_of(block) {
            Ok(Rule::Shell) => {
                for outcome in shell::run(tools, block) {
                    counts += outcome.tell();
                }
            }
            Ok(Rule::Data(kind)) => match data.iter_mut().find(|(of, _)| *of == kind) {
                Some((_, of_kind)) => of_kind.push(block),
                None => data.push((kind, vec![block])),
            },
            // Counted where it runs.
            Ok(Rule::Held(file, test)) => {
                println!("     {}: held by {test} in {file}", block.place())
            }
            Ok(Rule::NotRun(why)) => println!("     {}: not run: {why}", block.place()),
            Err(why) => counts += Outcome::of(block.place(), Err(why)).tell(),
        }
    }
    for (kind, blocks) in data {
        counts += data::run(tools, kind, &blocks)?;
    }
    Ok(counts)
}
