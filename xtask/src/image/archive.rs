//! An OCI image layout, made by buildah without a daemon, an overlay or a user namespace: nothing is run in the image, and its one
//! layer is one file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::source::Source;
use crate::{
    apt,
    process::{self, capture},
    vm::arch::Arch,
};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const REPOSITORY: &str = "credential-auditor";
/// What the binary is called in the image.
pub const PROGRAM: &str = "/auditor";
/// Read by containerd and docker on import: an archive alone gives no repository.
const NAME: &str = "io.containerd.image.name";
const LABELS: [(&str, &str); 4] = [
    ("title", REPOSITORY),
    (
        "description",
        "Tells who touched which workload's AWS credential on an EKS node, whose it was, and whether that was allowed.",
    ),
    // Of all that is linked, see the SBOM.
    ("licenses", "MIT OR Apache-2.0"),
    ("version", VERSION),
];

/// `credential-auditor:0.1.0`
pub fn tag() -> String {
    format!("{REPOSITORY}:{VERSION}")
}

/// As containerd and docker store it: their default registry is written out.
pub fn stored_name() -> String {
    format!("docker.io/library/{}", tag())
}

pub fn labels(source: &Source) -> Vec<(String, String)> {
    let fixed = LABELS.map(|(name, value)| (name, value.to_owned()));
    let revision = Some(("revision", source.revision.clone())).filter(|(_, r)| !r.is_empty());
    let named = fixed.into_iter().chain(revision);
    named
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
        .collect()
}

/// Buildah, with storage of its own.
struct Buildah<'a> {
    directory: &'a Path,
}

impl Buildah<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new("buildah");
        // The one driver that needs nothing of the kernel.
        command.args(["--storage-driver", "vfs", "--root"]);
        command.arg(self.directory.join("storage"));
        command.arg("--runroot").arg(self.directory.join("run"));
        command
    }

    fn say<const N: usize>(&self, words: [&str; N]) -> Result<String> {
        capture(self.command().args(words)).map(|said| said.trim().to_owned())
    }
}

/// Makes the layout with an image for each architecture, below `directory`, which must not be there; gives its directory.
///
/// # Errors
/// Without buildah where it cannot be installed.
pub fn layout(binaries: &[(Arch, PathBuf)], source: &Source, directory: &Path) -> Result<PathBuf> {
    apt::ensure_program(
        "buildah",
        "buildah",
        "assembles the container image; no daemon",
    )?;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let buildah = Buildah { directory };
    let index = directory.join("layout");
    buildah.say(["manifest", "create", REPOSITORY])?;
    for (arch, binary) in binaries {
        let name = arch.debian();
        let base = buildah.say(["from", "--arch", name, "scratch"])?;
        let mut copy = buildah.command();
        copy.args([
            "copy", "--quiet", "--chmod", "0755", "--chown", "0:0", &base,
        ]);
        capture(copy.arg(binary).arg(PROGRAM))?;
        let mut configure = buildah.command();
        configure.args(["config", "--os", "linux", "--arch", name]);
        configure.args(["--entrypoint", &json!([PROGRAM]).to_string()]);
        configure.args(["--created-by", "cargo xtask image"]);
        for (label, value) in labels(source) {
            configure.arg("--label").arg(format!("{label}={value}"));
        }
        capture(configure.arg(&base))?;
        let one = directory.join(name);
        let mut commit = buildah.command();
        commit.args([
            "commit",
            "--quiet",
            "--rm",
            "--format",
            "oci",
            "--disable-compression=false",
        ]);
        // Also the time of the file in the layer.
        commit.args([
            "--timestamp",
            &source.epoch.to_string(),
            "--identity-label=false",
        ]);
        capture(commit.arg(&base).arg(format!("oci:{}", one.display())))?;
        buildah.say([
            "manifest",
            "add",
            REPOSITORY,
            &format!("oci:{}", one.display()),
        ])?;
    }
    let to = format!("oci:{}:{VERSION}", index.display());
    buildah.say([
        "manifest", "push", "--quiet", "--all", "--format", "oci", REPOSITORY, &to,
    ])?;
    name(&index)?;
    Ok(index)
}

fn name(layout: &Path) -> Result<()> {
    let file = layout.join("index.json");
    let mut index: Value =
        serde_json::from_slice(&fs::read(&file)?).with_context(|| file.display().to_string())?;
    index["manifests"][0]["annotations"][NAME] = stored_name().into();
    fs::write(&file, index.to_string()).with_context(|| file.display().to_string())
}

/// The layout as one file, `oci-archive:` of skopeo and podman, which containerd and docker import, too. The same layout gives the
/// same file.
pub fn pack(layout: &Path, archive: &Path, source: &Source) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(archive);
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=ustar",
    ]);
    // What umask made of the files is no property of the image.
    tar.args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", source.epoch)]);
    tar.arg("--directory").arg(layout);
    capture(tar.args(["blobs", "index.json", "oci-layout"])).map(drop)
}

/// Runs `work` with an empty directory that is gone afterwards.
pub fn with_directory<T>(work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let directory = process::target_directory()
        .join("image")
        .join(format!("assembling-{}", std::process::id()));
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let result = work(&directory);
    fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_there_is_no_revision() {
        let source = |revision: &str| Source {
            epoch: 0,
            revision: revision.into(),
        };
        let has = |revision| {
            let labels = labels(&source(revision));
            labels.iter().any(|(name, _)| name.ends_with(".revision"))
        };
        assert!(has("0123") && !has(""));
    }
}
