//! What the program in an image is made of, as CycloneDX: cargo-cyclonedx says it of each crate, and it is held against what cargo
//! links, what the program itself names, and CycloneDX's schema.

mod crates;
mod system;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::crates::Crate;
use super::source::Source;
use crate::{
    process::{self, capture},
    venv::Venv,
    vm::arch::Arch,
};

const TOOL: &str = "cargo-cyclonedx";
const TOOL_VERSION: &str = "0.5.9";
const SPECIFICATION: &str = "1.5";
const AUDITOR: &str = "auditor";
/// Compiled on its own, and embedded.
const KERNEL_HALF: &str = "auditor-ebpf";

/// Writes the SBOM of the program of `arch`, and checks it.
///
/// # Errors
/// When cargo-cyclonedx or the schema's package cannot be had.
pub fn make(
    arch: Arch,
    source: &Source,
    program: &Path,
    to: &Path,
) -> Result<Vec<(&'static str, Result<()>)>> {
    let tool = tool()?;
    let mut linked = crates::linked(AUDITOR, arch.target())?;
    linked.extend(crates::linked(KERNEL_HALF, "bpfel-unknown-none")?);
    let (auditor, kernel_half) = described(&tool, arch, source)?;
    let mut sbom = merged(auditor, kernel_half, &linked)?;
    if let Some(components) = sbom["components"].as_array_mut() {
        components.extend(system::components(arch)?);
    }
    let text = serde_json::to_string_pretty(&sbom)?;
    fs::write(to, text + "\n").with_context(|| to.display().to_string())?;
    let named = crates::named(&fs::read(program)?);
    Ok(vec![
        ("SBOM: each crate that cargo links", covers(&sbom, &linked)),
        (
            "SBOM: each crate that the program names",
            covers(&sbom, &named),
        ),
        ("SBOM: CycloneDX's schema", valid(to)),
    ])
}

/// cargo-cyclonedx, built once; without optimisation it takes a third of the time, and runs for half a second.
///
/// # Errors
/// When it cannot be built.
pub fn tool() -> Result<PathBuf> {
    let root = process::cache_directory(&format!("{TOOL}-{TOOL_VERSION}"))?;
    let program = root.join("bin").join(TOOL);
    if program.is_file() {
        return Ok(program);
    }
    let what = format!("installing {TOOL} {TOOL_VERSION} from crates.io");
    process::step(&what, "it writes the SBOM; compiled once, a minute", || {
        let mut cargo = process::cargo();
        cargo.args(["install", "--quiet", "--locked", "--debug", "--root"]);
        cargo.arg(&root).arg(format!("{TOOL}@{TOOL_VERSION}"));
        process::run(cargo.env("CARGO_TARGET_DIR", root.join("target")))?;
        fs::remove_dir_all(root.join("target")).context("what was built on the way")
    })?;
    Ok(program)
}

/// Of the auditor and of its kernel half. The tool writes beside each manifest of a workspace, so it gets a copy of the manifests.
fn described(tool: &Path, arch: Arch, source: &Source) -> Result<(Value, Value)> {
    let directory = process::target_directory().join(format!("image/sbom-{}", std::process::id()));
    let copied = copy(&directory);
    let written = copied.and_then(|()| {
        let mut cyclonedx = Command::new(tool);
        cyclonedx.args(["cyclonedx", "--quiet", "--manifest-path"]);
        cyclonedx.arg(directory.join("auditor/Cargo.toml"));
        cyclonedx.args(["--format", "json", "--spec-version", SPECIFICATION]);
        cyclonedx.args(["--no-build-deps", "--target", arch.target()]);
        cyclonedx.args(["--override-filename", "sbom"]);
        cyclonedx.env("SOURCE_DATE_EPOCH", source.epoch.to_string());
        capture(&mut cyclonedx)?;
        let read = |package: &str| -> Result<Value> {
            let file = directory.join(package).join("sbom.json");
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            // The same wherever it is made.
            let here = directory.display().to_string();
            Ok(serde_json::from_str(&text.replace(&here, "/src"))?)
        };
        Ok((read(AUDITOR)?, read(KERNEL_HALF)?))
    });
    fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    written
}

/// The files of the commit, with the manifests as they are now.
fn copy(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let workspace = process::workspace();
    let git = |words: &[&str]| capture(Command::new("git").current_dir(workspace).args(words));
    let prefix = format!("--prefix={}/", directory.display());
    git(&["checkout-index", "--all", "--force", &prefix])?;
    for file in git(&["ls-files", "*Cargo.toml", "Cargo.lock"])?.lines() {
        fs::copy(workspace.join(file), directory.join(file)).with_context(|| file.to_owned())?;
    }
    Ok(())
}

/// One SBOM of both halves, with what is linked and nothing else: cargo-cyclonedx lists procedural macros, which run in the compiler,
/// and what other packages of the workspace ask for.
fn merged(mut auditor: Value, kernel_half: Value, linked: &BTreeSet<Crate>) -> Result<Value> {
    let half = kernel_half["metadata"]["component"].clone();
    let half_reference = half["bom-ref"].clone();
    let own_reference = auditor["metadata"]["component"]["bom-ref"].clone();
    let array = |sbom: &Value, name: &str| sbom[name].as_array().cloned().unwrap_or_default();
    let mut components = array(&auditor, "components");
    let mut known: BTreeSet<Crate> = components.iter().filter_map(Crate::of_component).collect();
    let more = array(&kernel_half, "components").into_iter().chain([half]);
    components.extend(more.filter(|c| Crate::of_component(c).is_some_and(|c| known.insert(c))));
    components.retain(|c| Crate::of_component(c).is_some_and(|c| linked.contains(&c)));
    let mut references: BTreeSet<Reference> = components
        .iter()
        .map(|c| reference(&c["bom-ref"]))
        .collect();
    references.insert(reference(&own_reference));

    let mut dependencies = array(&auditor, "dependencies");
    let mut seen: BTreeSet<Reference> = dependencies.iter().map(|d| reference(&d["ref"])).collect();
    let more = array(&kernel_half, "dependencies");
    dependencies.extend(
        more.into_iter()
            .filter(|d| seen.insert(reference(&d["ref"]))),
    );
    dependencies.retain(|d| references.contains(&reference(&d["ref"])));
    for dependency in &mut dependencies {
        let is_own = dependency["ref"] == own_reference;
        // Not by its index, which would add what is not there.
        let on = dependency.get_mut("dependsOn");
        if let Some(on) = on.and_then(Value::as_array_mut) {
            on.retain(|d| references.contains(&reference(d)));
            if is_own {
                on.push(half_reference.clone());
            }
        }
    }
    auditor["components"] = components.into();
    auditor["dependencies"] = dependencies.into();
    Ok(auditor)
}

/// A `bom-ref`.
type Reference = String;

fn reference(value: &Value) -> Reference {
    value.as_str().unwrap_or_default().to_owned()
}

fn covers(sbom: &Value, wanted: &BTreeSet<Crate>) -> Result<()> {
    ensure!(!wanted.is_empty(), "nothing to hold it against was found");
    let listed = sbom["components"].as_array().context("no components")?;
    let mut listed: BTreeSet<Crate> = listed.iter().filter_map(Crate::of_component).collect();
    listed.extend(Crate::of_component(&sbom["metadata"]["component"]));
    let missing: Vec<String> = wanted.difference(&listed).map(Crate::to_string).collect();
    ensure!(missing.is_empty(), "it lacks {}", missing.join(", "));
    Ok(())
}

fn valid(file: &Path) -> Result<()> {
    let tests = process::workspace().join("tests/cyclonedx");
    let venv = Venv::open("cyclonedx", &tests.join("requirements.txt"))?;
    let mut python = venv.python();
    capture(python.arg(tests.join("validate.py")).arg(file)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn component(name: &str) -> Value {
        json!({"type": "library", "bom-ref": format!("ref {name}"), "name": name, "version": "1.0.0",
            "purl": format!("pkg:cargo/{name}@1.0.0")})
    }

    fn sbom(own: &str, others: &[&str]) -> Value {
        let components: Vec<Value> = others.iter().map(|name| component(name)).collect();
        let on: Vec<String> = others.iter().map(|name| format!("ref {name}")).collect();
        json!({"metadata": {"component": component(own)}, "components": components,
            "dependencies": [{"ref": format!("ref {own}"), "dependsOn": on}]})
    }

    fn crates(names: &[&str]) -> BTreeSet<Crate> {
        let each = names.iter().map(|name| Crate::new(name, "1.0.0"));
        each.collect()
    }

    #[test]
    fn both_halves_and_only_what_is_linked() {
        let auditor = sbom(AUDITOR, &["serde", "serde_derive", "common"]);
        let mut kernel_half = sbom(KERNEL_HALF, &["aya-ebpf", "common"]);
        let leaf = json!({"ref": "ref common"});
        kernel_half["dependencies"]
            .as_array_mut()
            .unwrap()
            .push(leaf);
        let linked = crates(&[AUDITOR, KERNEL_HALF, "serde", "common", "aya-ebpf"]);
        let merged = merged(auditor, kernel_half, &linked).unwrap();
        let names: Vec<_> = merged["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].clone())
            .collect();
        assert_eq!(names, ["serde", "common", "aya-ebpf", "auditor-ebpf"]);
        assert_eq!(
            merged["dependencies"],
            json!([{"ref": "ref auditor", "dependsOn": ["ref serde", "ref common", "ref auditor-ebpf"]},
                {"ref": "ref auditor-ebpf", "dependsOn": ["ref aya-ebpf", "ref common"]},
                {"ref": "ref common"}])
        );
        assert!(covers(&merged, &linked).is_ok());
        let error = covers(&merged, &crates(&["serde", "tokio"])).unwrap_err();
        assert_eq!(error.to_string(), "it lacks tokio 1.0.0");
        assert!(covers(&merged, &BTreeSet::new()).is_err());
    }
}
