//! A copy of what is shipped, in which the documents' commands are typed, with the real kubectl and Helm.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Everything that a command may take.
const SECONDS: &str = "300";

/// What the server, of 2020, cannot know: file, what stands there, what stands there instead, and what is not shown therefore.
const TOO_NEW: [(&str, &str, &str, &str); 7] = [
    (
        "manifests/kustomize/base/workloads.yaml",
        "apiVersion: policy/v1\n",
        "apiVersion: policy/v1beta1\n",
        "PodDisruptionBudget of policy/v1 (Kubernetes 1.21 on): applied as policy/v1beta1",
    ),
    (
        "manifests/kustomize/base/workloads.yaml",
        "  unhealthyPodEvictionPolicy: AlwaysAllow\n",
        "",
        "unhealthyPodEvictionPolicy (1.26 on): left out",
    ),
    (
        "manifests/kustomize/base/workloads.yaml",
        "            appArmorProfile:\n              type: Unconfined\n",
        "",
        "appArmorProfile as a field (1.30 on): left out",
    ),
    (
        "manifests/helm/credential-auditor/templates/sync.yaml",
        "apiVersion: policy/v1\n",
        "apiVersion: policy/v1beta1\n",
        "",
    ),
    (
        "manifests/helm/credential-auditor/templates/sync.yaml",
        "  unhealthyPodEvictionPolicy: AlwaysAllow\n",
        "",
        "",
    ),
    (
        "manifests/helm/credential-auditor/values.yaml",
        "    appArmorProfile: {type: Unconfined}\n",
        "",
        "",
    ),
    (
        "manifests/helm/credential-auditor/Chart.yaml",
        "kubeVersion: \">=1.32.0-0\"\n",
        "",
        "kubeVersion of the chart, which refuses this server: left out",
    ),
];

pub struct Place {
    root: PathBuf,
    kubeconfig: PathBuf,
}

impl Place {
    /// `venv`: where kubectl is, and Python with Helm. Gives also what is left out.
    pub fn make(
        root: &Path,
        workspace: &Path,
        venv: &Path,
        kubeconfig: &Path,
    ) -> Result<(Self, Vec<&'static str>)> {
        for name in ["manifests", "docs/install.md"] {
            copy(&workspace.join(name), &root.join(name))?;
        }
        // That of somebody who works there.
        for name in ["cluster", "cleanup"] {
            let _ = fs::remove_file(root.join(format!("manifests/kustomize/{name}/cluster.env")));
        }
        let mut left_out = Vec::new();
        for (file, old, new, why) in TOO_NEW {
            let path = root.join(file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            ensure!(
                text.matches(old).count() == 1,
                "{file} has no `{}` or several: what this server cannot know is looked for there",
                old.trim()
            );
            fs::write(&path, text.replace(old, new))?;
            left_out.extend((!why.is_empty()).then_some(why));
        }
        let bin = root.join("bin");
        fs::create_dir(&bin)?;
        let helm = workspace.join("tests/examples/helm.py");
        let (kubectl, python) = (venv.join("bin/kubectl"), venv.join("bin/python"));
        for (name, line) in [
            ("kubectl", format!("exec {} \"$@\"", kubectl.display())),
            (
                "helm",
                format!(
                    "HELM_ON_CLUSTER=1 exec {} {} \"$@\"",
                    python.display(),
                    helm.display()
                ),
            ),
        ] {
            let path = bin.join(name);
            fs::write(&path, format!("#!/bin/sh\n{line}\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        let this = Self {
            root: root.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
        };
        Ok((this, left_out))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// The one block of this language in a section of docs/install.md that holds `naming`.
    pub fn documented(&self, section: &str, language: &str, naming: &str) -> Result<String> {
        let text = fs::read_to_string(self.path("docs/install.md"))?;
        let mut found = blocks(&text, section, language);
        found.retain(|block| block.contains(naming));
        match found.as_slice() {
            [block] => Ok(block.clone()),
            _ => bail!(
                "docs/install.md, `{section}` has {} blocks of {language} with `{naming}`",
                found.len()
            ),
        }
    }

    /// Types it into a shell at the root of the place; gives what it printed.
    pub fn type_in(&self, script: &str) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("timeout")
            .args([SECONDS, "bash", "-euo", "pipefail", "-c", script])
            .current_dir(&self.root)
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", &self.root)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .context("start bash")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "`{}`: {}\n{}{}",
            script.trim(),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }
}

/// The fenced blocks of a section that begins with `## SECTION`.
fn blocks(text: &str, section: &str, language: &str) -> Vec<String> {
    let heading = format!("## {section}");
    let within = text
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    let (mut found, mut open): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut is_wanted = false;
    for line in within {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(words)) => {
                is_wanted = words == language;
                open = Some(String::new());
            }
            (Some(_), Some(_)) => {
                let block = open.take().unwrap_or_default();
                found.extend(is_wanted.then_some(block));
            }
            (Some(block), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

/// What links lead to, and no links.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let metadata = fs::metadata(from).with_context(|| from.display().to_string())?;
    if !metadata.is_dir() {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        return fs::copy(from, to)
            .map(drop)
            .with_context(|| to.display().to_string());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_section_and_a_language() {
        let text = "## A\n```sh\none\n```\n## B\n```sh\ntwo\n```\ntext\n### C\n```yaml\na: b\n```\n```sh\nthree\n  four\n```\n## D\n```sh\nfive\n```\n";
        assert_eq!(blocks(text, "B", "sh"), ["two\n", "three\n  four\n"]);
        assert_eq!(blocks(text, "B", "yaml"), ["a: b\n"]);
        assert!(blocks(text, "E", "sh").is_empty());
    }
}
