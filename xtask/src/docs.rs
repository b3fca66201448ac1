//! `cargo xtask docs`: what a program can hold the documents against, and the pictures that are made of them.

mod links;
mod picture;
mod quotes;
pub mod steps;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;

use crate::{
    build::{self, Built},
    process,
    summary::Counts,
};

use links::Tree;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask docs check      links, paths, quoted messages and the newcomer's patches; a second, nothing is built
  cargo xtask docs picture    builds the auditor, and draws docs/tail.svg of what `auditor tail` prints")]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every link, heading and path that a document names is there, and the patches of CONTRIBUTING.md apply.
    Check,
    /// Writes docs/tail.svg.
    Picture {
        /// What this auditor prints; default: one that is built.
        #[arg(long, value_name = "PATH")]
        auditor: Option<PathBuf>,
    },
}

/// # Errors
/// When something is wrong with the documents, or the auditor cannot be built.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.task {
        Task::Check => check()?,
        Task::Picture { auditor } => {
            let path = picture::path();
            let auditor = match auditor {
                Some(auditor) => fs::canonicalize(auditor)?,
                None => build::release()?.auditor,
            };
            fs::write(&path, picture::draw(&auditor)?)
                .with_context(|| path.display().to_string())?;
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Of what needs an auditor: that the picture is what it prints.
pub fn ci(built: &Built) -> Result<Counts> {
    let mut counts = Counts::default();
    let drawn = picture::draw(&built.auditor)?;
    let path = picture::path();
    if fs::read_to_string(&path).is_ok_and(|picture| picture == drawn) {
        counts.passed += 1;
        println!("ok   {} is what `auditor tail` prints", path.display());
    } else {
        counts.failed += 1;
        println!(
            "FAIL {} is not what `auditor tail` prints: run `cargo xtask docs picture`",
            path.display()
        );
    }
    Ok(counts)
}

/// # Errors
/// When anything is wrong; all of it was told.
pub fn check() -> Result<()> {
    let root = process::workspace();
    let checks = [
        ("links and paths", references(root)),
        ("quoted messages", messages(root)),
        ("the newcomer's patches", patches(root)),
    ];
    let mut failures = 0;
    for (name, result) in checks {
        if let Err(error) = result {
            println!("FAIL {name}: {error:#}");
            failures += 1;
        }
    }
    ensure!(failures == 0, "{failures} of 3 checks of the documents");
    Ok(())
}

fn references(root: &Path) -> Result<()> {
    let mut tree = Tree::default();
    read(root, "", &mut tree)?;
    let (faults, looked) = tree.check();
    for fault in &faults {
        println!("FAIL {fault}");
    }
    println!(
        "{} documents, {} links, {} paths that they name",
        tree.documents.len(),
        looked.links,
        looked.paths
    );
    // A reader that finds nothing would find no fault either.
    ensure!(
        looked.links > 100 && looked.paths > 100,
        "too few to be all of them"
    );
    ensure!(faults.is_empty(), "{} faults", faults.len());
    Ok(())
}

/// Directories that hold nothing of the repository's own.
fn is_foreign(name: &str) -> bool {
    // CI's own description is named by documents.
    (name.starts_with('.') && ![".ci", ".cargo"].contains(&name))
        || ["target", "node_modules"].contains(&name)
}

/// Takes in what lies below `root`, in `directory` (empty: in itself).
fn read(root: &Path, directory: &str, tree: &mut Tree) -> Result<()> {
    let entries = fs::read_dir(root.join(directory)).with_context(|| directory.to_owned())?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() && is_foreign(&name) {
            continue;
        }
        let path = match directory {
            "" => name,
            directory => format!("{directory}/{name}"),
        };
        if kind.is_dir() {
            read(root, &path, tree)?;
        } else if path.ends_with(".md") {
            let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
            tree.documents.insert(path.clone(), text);
        }
        tree.paths.insert(path);
    }
    Ok(())
}

/// That what is quoted of the auditor's messages is in its source.
fn messages(root: &Path) -> Result<()> {
    const QUOTING: &str = "docs/operations.md";
    let document = fs::read_to_string(root.join(QUOTING)).context(QUOTING)?;
    let mut source = String::new();
    rust(&root.join("auditor/src"), &mut source)?;
    let (unknown, looked) = quotes::unknown(&document, &source);
    for line in &unknown {
        println!("FAIL {QUOTING} quotes what the auditor does not write: {line}");
    }
    println!("{QUOTING}: {looked} messages");
    ensure!(looked > 10, "too few to be all of them");
    ensure!(unknown.is_empty(), "{} quotes are wrong", unknown.len());
    Ok(())
}

/// Adds the Rust files below a directory.
fn rust(directory: &Path, source: &mut String) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            rust(&path, source)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// That what CONTRIBUTING.md has a newcomer change can be changed so: `cargo xtask newcomer` builds it, too.
fn patches(root: &Path) -> Result<()> {
    let guide = fs::read_to_string(root.join(steps::GUIDE)).context(steps::GUIDE)?;
    let steps = steps::of(&guide)?;
    let patch = steps::patch(&steps);
    ensure!(!patch.is_empty(), "{} has no patches", steps::GUIDE);
    let files: BTreeSet<&str> = patch
        .lines()
        .filter_map(|line| line.strip_prefix("+++ b/"))
        .collect();
    let mut git = Command::new("git");
    git.args(["apply", "--check", "-"]).current_dir(root);
    steps::feed(&mut git, &patch).with_context(|| format!("the patches of {}", steps::GUIDE))?;
    println!(
        "{}: {} steps, whose patches of {} files apply",
        steps::GUIDE,
        steps.len(),
        files.len()
    );
    Ok(())
}
