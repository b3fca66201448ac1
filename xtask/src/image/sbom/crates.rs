//! Crates: what cargo links, and what a program names of them.

use std::{collections::BTreeSet, fmt};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::{self, capture};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    name: String,
    version: String,
}

impl Crate {
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    /// None of what is no crate.
    pub fn of_component(component: &Value) -> Option<Self> {
        component["purl"].as_str()?.strip_prefix("pkg:cargo/")?;
        Some(Self::new(
            component["name"].as_str()?,
            component["version"].as_str()?,
        ))
    }
}

impl fmt::Display for Crate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// A package with all that it is linked with for a target, by its own features.
///
/// # Errors
/// When cargo does not know the package or the target.
pub fn linked(package: &str, target: &str) -> Result<BTreeSet<Crate>> {
    let mut cargo = process::cargo();
    cargo.args(["tree", "--quiet", "--locked", "--package", package]);
    cargo.args(["--edges", "normal,no-proc-macro", "--target", target]);
    let tree = capture(cargo.args(["--prefix", "none", "--format", "{p}"]))?;
    parse_tree(&tree)
}

/// Lines such as `aya v0.14.0` and `auditor v0.1.0 (/src/auditor)`, repeated ones with ` (*)`.
fn parse_tree(tree: &str) -> Result<BTreeSet<Crate>> {
    let lines = tree.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let version = words.next().and_then(|word| word.strip_prefix('v'));
            let version = version.with_context(|| format!("cargo tree printed: {line}"))?;
            Ok(Crate::new(name, version))
        })
        .collect()
}

/// Where cargo unpacks crates, with the paths remapped as of [`super::super::binary`].
const REGISTRY: &[u8] = b"/cargo/registry/src/";

/// The crates whose sources a program names: where a panic comes from.
pub fn named(program: &[u8]) -> BTreeSet<Crate> {
    let mut found = BTreeSet::new();
    let mut rest = program;
    while let Some(at) = rest
        .windows(REGISTRY.len())
        .position(|part| part == REGISTRY)
    {
        rest = &rest[at + REGISTRY.len()..];
        // Names of the index and of the crate are short.
        let text = rest[..rest.len().min(300)].split(|byte| !byte.is_ascii_graphic());
        let text = String::from_utf8_lossy(text.into_iter().next().unwrap_or_default());
        let directory = text
            .split('/')
            .nth(1)
            .filter(|_| text.matches('/').count() > 1);
        found.extend(directory.and_then(parse_directory));
    }
    found
}

/// `serde-saphyr-2.1.1`
fn parse_directory(directory: &str) -> Option<Crate> {
    let starts = directory.match_indices('-').map(|(at, _)| at);
    let at = starts
        .into_iter()
        .find(|at| directory[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    Some(Crate::new(&directory[..at], &directory[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cargos_tree() {
        let tree = "auditor v0.1.0 (/src/auditor)\nserde v1.0.228\nserde v1.0.228 (*)\n\n";
        let crates = parse_tree(tree).unwrap();
        assert_eq!(
            crates.into_iter().collect::<Vec<_>>(),
            [
                Crate::new("auditor", "0.1.0"),
                Crate::new("serde", "1.0.228")
            ]
        );
        assert!(parse_tree("error: no\n").is_err());
    }

    #[test]
    fn finds_the_crates_that_a_program_names() {
        let program = b"\0/cargo/registry/src/index.crates.io-19/serde-saphyr-2.1.1/src/de.rs\0x/cargo/registry/src/index.crates.io-19/\
            aya-0.14.0/src/bpf.rs/cargo/registry/src/cut";
        assert_eq!(
            named(program).into_iter().collect::<Vec<_>>(),
            [
                Crate::new("aya", "0.14.0"),
                Crate::new("serde-saphyr", "2.1.1")
            ]
        );
        assert!(named(b"/root/.cargo/registry/src/x/aya-0.14.0/").is_empty());
    }

    #[test]
    fn a_version_may_hold_a_dash_and_a_name_digits() {
        for (directory, want) in [
            ("sha2-0.11.0-rc.2", ("sha2", "0.11.0-rc.2")),
            ("x-y-1.0.0+deprecated", ("x-y", "1.0.0+deprecated")),
        ] {
            assert_eq!(parse_directory(directory), Some(Crate::new(want.0, want.1)));
        }
        assert_eq!(parse_directory("serde"), None);
    }
}
