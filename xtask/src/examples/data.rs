//! Data is held against what will read it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::{document::Block, outcome::Outcome, rules::Kind, tools::Tools};
use crate::{
    process,
    summary::{Counts, Format, run_counted},
};

/// All blocks of a kind.
pub fn run(tools: &Tools, kind: Kind, blocks: &[&Block]) -> Result<Counts> {
    let script = match kind {
        Kind::Sql => return python(tools, "athena.py", None, blocks),
        Kind::Event => Some("event"),
        Kind::Iam => Some("iam"),
        Kind::Objects => Some("objects"),
        Kind::Values => Some("values"),
        _ => None,
    };
    if let Some(name) = script {
        return python(tools, "data.py", Some(name), blocks);
    }
    let mut counts = Counts::default();
    for block in blocks {
        let what = format!("{}: {kind:?}", block.place());
        let outcome = match one(tools, kind, block) {
            Ok(Held::Yes) => Outcome::of(what, Ok(())),
            Ok(Held::Skipped(why)) => Outcome::skipped(what, why),
            Err(error) => Outcome::of(what, Err(error)),
        };
        counts += outcome.tell();
    }
    Ok(counts)
}

enum Held {
    Yes,
    Skipped(String),
}

fn one(tools: &Tools, kind: Kind, block: &Block) -> Result<Held> {
    let directory = directory()?;
    let file = |name: &str, text: &str| -> Result<PathBuf> {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    let venv = tools.venv.as_ref();
    let kubectl = venv
        .map(|venv| venv.program("kubectl"))
        .map_err(String::clone);
    let tool = match kind {
        Kind::Promql | Kind::Relabeling => &tools.promtool,
        Kind::Alertmanager => &tools.amtool,
        Kind::Logrotate => &tools.logrotate,
        Kind::Kustomization => &kubectl,
        _ => &Ok(tools.auditor.clone()),
    };
    let tool = match tool {
        Ok(path) => path,
        Err(why) => return Ok(Held::Skipped(why.clone())),
    };
    let mut command = Command::new(tool);
    match kind {
        Kind::Policy => {
            let whole = match block.text.contains("version:") {
                true => block.text.clone(),
                false => format!("version: 1\n{}", block.text),
            };
            command
                .args(["policy", "check"])
                .arg(file("policy.yaml", &whole)?);
        }
        Kind::Promql => {
            // As a rule of its own, which is how promtool takes expressions. JSON is YAML.
            let rule = json!({"record": "example", "expr": block.text});
            let rules = json!({"groups": [{"name": "examples", "rules": [rule]}]}).to_string();
            command
                .args(["check", "rules", "--lint=none"])
                .arg(file("rules.yaml", &rules)?);
        }
        Kind::Relabeling => {
            let config = relabeling(&block.text)?.to_string();
            command
                .args(["check", "config"])
                .arg(file("prometheus.yaml", &config)?);
        }
        Kind::Alertmanager => {
            let config = alertmanager(&block.text)?.to_string();
            command
                .arg("check-config")
                .arg(file("alertmanager.yaml", &config)?);
        }
        Kind::Logrotate => {
            // The lines' file must be there, and is not this machine's.
            let logs = format!("{}/log/", directory.display());
            let config = block.text.replace("/var/log/", &logs);
            let named = PathBuf::from(config.split_whitespace().next().unwrap_or_default());
            fs::create_dir_all(named.parent().unwrap_or(&named))?;
            fs::write(&named, "")?;
            let path = file("logrotate.conf", &config)?;
            if let Some(libraries) = &tools.libraries {
                command.env("LD_LIBRARY_PATH", libraries);
            }
            command.args(["--debug", "--state", "/dev/null"]).arg(path);
        }
        Kind::Kustomization => {
            let overlay = overlay(&directory, &block.text)?;
            let built = process::capture(command.arg("kustomize").arg(overlay))?;
            ensure!(built.contains("kind: DaemonSet"), "it has no auditor");
            return Ok(Held::Yes);
        }
        Kind::Scenes => {
            let list = process::capture(Command::new(&tools.lab).arg("list"))?;
            scenes(&list, &block.text)?;
            return Ok(Held::Yes);
        }
        Kind::Messages => {
            messages(&source()?, &block.text)?;
            return Ok(Held::Yes);
        }
        Kind::Event | Kind::Iam | Kind::Objects | Kind::Values | Kind::Sql => {
            bail!("{kind:?} is held by a script")
        }
    }
    let output = command.output().with_context(|| process::shown(&command))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // logrotate ends well whatever it reads.
    ensure!(
        output.status.success() && !said.contains("error: "),
        "`{}`: {}: {said}",
        process::shown(&command),
        output.status
    );
    Ok(Held::Yes)
}

fn directory() -> Result<PathBuf> {
    let directory = process::target_directory().join("examples/data");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// A copy of the manifests, and in it a directory with this kustomization and the policy that it may name.
fn overlay(directory: &Path, text: &str) -> Result<PathBuf> {
    let manifests = directory.join("manifests");
    if manifests.exists() {
        fs::remove_dir_all(&manifests).with_context(|| manifests.display().to_string())?;
    }
    let ours = process::workspace().join("manifests");
    process::capture(Command::new("cp").arg("-a").arg(ours).arg(&manifests))?;
    fs::write(
        manifests.join("kustomize/cluster/cluster.env"),
        super::place::CLUSTER_ENV,
    )?;
    let overlay = manifests.join("kustomize/example");
    fs::create_dir_all(&overlay)?;
    fs::write(overlay.join("policy.yaml"), "version: 1\n")?;
    fs::write(overlay.join("kustomization.yaml"), text)?;
    Ok(overlay)
}

/// By a script of `tests/examples`, which tells of each.
fn python(tools: &Tools, script: &str, kind: Option<&str>, blocks: &[&Block]) -> Result<Counts> {
    let venv = match &tools.venv {
        Ok(venv) => venv,
        Err(why) => {
            let mut counts = Counts::default();
            for block in blocks {
                counts += Outcome::skipped(block.place(), why.clone()).tell();
            }
            return Ok(counts);
        }
    };
    let told: Vec<Value> = blocks
        .iter()
        .map(|block| json!({"place": block.place(), "text": block.text}))
        .collect();
    let path = directory()?.join(format!("{}.json", kind.unwrap_or("sql")));
    fs::write(&path, Value::from(told).to_string())?;
    let root = process::workspace();
    let mut command = venv.python();
    // Where it is read from is the workspace, which is left as it is.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
        .arg(root.join("tests/examples").join(script))
        .args(kind)
        .arg(path);
    if kind.is_none() {
        command.arg(root.join("docs/samples/recorded.jsonl"));
    }
    run_counted(&mut command, Format::Lab)
}

/// A part of a PodMonitor as Prometheus itself has it.
fn relabeling(text: &str) -> Result<Value> {
    let value: Value = serde_saphyr::from_str(text)?;
    let rules = value["metricRelabelings"]
        .as_array()
        .context("no list of rules")?;
    let snake = |key: &str| {
        key.chars().fold(String::new(), |mut name, c| {
            if c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
            name
        })
    };
    let mut ours = Vec::new();
    for rule in rules {
        let rule = rule.as_object().context("a rule that is no map")?;
        let rule: Map<String, Value> = rule
            .iter()
            .map(|(key, value)| (snake(key), value.clone()))
            .collect();
        ours.push(Value::from(rule));
    }
    Ok(
        json!({"scrape_configs": [{"job_name": "credential-auditor", "metric_relabel_configs": ours}]}),
    )
}

/// A whole configuration: with a receiver for what no route takes, and those that the routes name.
fn alertmanager(text: &str) -> Result<Value> {
    let mut config: Value = serde_saphyr::from_str(text)?;
    if config["route"]["receiver"].is_null() {
        config["route"]["receiver"] = json!("default");
    }
    if config["receivers"].is_null() {
        let mut names = Vec::new();
        receivers(&config["route"], &mut names);
        names.sort();
        names.dedup();
        config["receivers"] = names
            .into_iter()
            .map(|name| json!({"name": name}))
            .collect();
    }
    Ok(config)
}

fn receivers(route: &Value, names: &mut Vec<String>) {
    names.extend(route["receiver"].as_str().map(str::to_owned));
    for route in route["routes"].as_array().into_iter().flatten() {
        receivers(route, names);
    }
}

/// That each line names a scene, and tells of it what `lab list` does.
fn scenes(list: &str, text: &str) -> Result<()> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let known: Vec<String> = list.lines().map(words).collect();
    for line in text.lines() {
        let told = line.strip_prefix("ok ").context("no `ok`")?;
        let (scene, _) = told.split_once(" => ").context("no ` => `")?;
        ensure!(
            known.contains(&words(scene)),
            "`lab list` has no such scene: {}",
            words(scene)
        );
    }
    Ok(())
}

/// The auditor's source, with its texts in one piece: a line that ends with a backslash goes on in the next.
fn source() -> Result<String> {
    let mut source = String::new();
    let mut left = vec![process::workspace().join("auditor/src")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let mut parts = text.split("\\\n");
            source.push_str(parts.next().unwrap_or_default());
            parts.for_each(|part| source.push_str(part.trim_start()));
        }
    }
    Ok(source)
}

/// That the source has the words of each line, between what differs.
fn messages(source: &str, text: &str) -> Result<()> {
    for line in text.lines() {
        for words in line.split('…').filter(|words| words.trim().len() > 2) {
            ensure!(
                source.contains(words),
                "the auditor does not say `{words}`: {line}"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_example_leaves_out_is_put_in() {
        let config =
            alertmanager("route:\n  routes:\n    - {receiver: b}\n    - {receiver: a}\n").unwrap();
        assert_eq!(
            config["receivers"],
            json!([{"name": "a"}, {"name": "b"}, {"name": "default"}])
        );
        let rules = relabeling("metricRelabelings: [{sourceLabels: [a], action: drop}]").unwrap();
        let rules = &rules["scrape_configs"][0]["metric_relabel_configs"];
        assert_eq!(*rules, json!([{"source_labels": ["a"], "action": "drop"}]));
    }

    #[test]
    fn a_message_is_one_of_the_auditors() {
        let source = "\"cannot read {path}, the kernel's BTF: {0}\"";
        messages(source, "cannot read …, the kernel's BTF: …\n").unwrap();
        assert!(messages(source, "cannot write …, the kernel's BTF: …\n").is_err());
    }

    #[test]
    fn a_scene_is_one_of_the_labs() {
        let list = "own-irsa                       payments/api reads its own IRSA token\n";
        let line = |about: &str| {
            format!("ok   own-irsa                       {about} => open own ALLOWED\n")
        };
        scenes(list, &line("payments/api reads its own IRSA token")).unwrap();
        assert!(scenes(list, &line("payments/api reads another's")).is_err());
        assert!(scenes(list, "ok   other => x\n").is_err());
    }
}
