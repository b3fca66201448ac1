//! Container images made of folders: busybox, the lab's helper programs and the libraries that they need; and the auditor alone.
//!
//! The archive is an OCI image layout (image-spec v1.0, `image-layout.md`) as a tar, with one layer that is not compressed;
//! containerd takes each image's name from the annotation `io.containerd.image.name`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::container::HELPERS;

/// The helper programs that containers run.
const PROGRAMS: [&str; 5] = ["pause", "peek", "sdk", "enter", "arrange"];
const APPLETS: [&str; 5] = ["sh", "cat", "cp", "sleep", "true"];

/// The auditor's own, where it is not from `cargo xtask image`.
pub const AUDITOR: &str = "docker.io/library/credential-auditor:packed";

/// Writes the archive with the pods' image below `dir`; the one image gets all the `names`.
pub fn build(dir: &Path, helpers: &Path, names: &[&str]) -> Result<PathBuf> {
    let root = dir.join("rootfs");
    fill(&root, helpers)?;
    let config = json!({"Cmd": ["/bin/sh"], "Env": [format!("PATH={HELPERS}:/usr/bin:/bin")]});
    archive(dir, &root, &config, names)
}

/// Writes the archive of [`AUDITOR`] below `dir`: the program at `/auditor`, with nothing beside it but the libraries that it needs. The
/// static program that `cargo xtask image` ships needs none.
pub fn of_auditor(dir: &Path, program: &Path) -> Result<PathBuf> {
    let root = dir.join("rootfs");
    let mut libraries = BTreeSet::new();
    add(&root, program, Path::new("auditor"), &mut libraries)?;
    copy_libraries(&root, &libraries)?;
    let config = json!({"Entrypoint": ["/auditor"]});
    archive(dir, &root, &config, &[AUDITOR])
}

/// An archive of one image, with what `root` holds as its layer. The folder is taken apart.
fn archive(dir: &Path, root: &Path, config: &Value, names: &[&str]) -> Result<PathBuf> {
    let layout = dir.join("layout");
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let layer = dir.join("layer.tar");
    tar(root, &layer)?;
    let layer = blob(&layout, &layer, "application/vnd.oci.image.layer.v1.tar")?;
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = json_blob(&layout, &config, "application/vnd.oci.image.config.v1+json")?;
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let manifest = json_blob(
        &layout,
        &manifest,
        "application/vnd.oci.image.manifest.v1+json",
    )?;
    let manifests: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut named = manifest.clone();
            named["annotations"] = json!({"io.containerd.image.name": name});
            named
        })
        .collect();
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let archive = dir.join("image.tar");
    tar(&layout, &archive)?;
    fs::remove_dir_all(root)?;
    fs::remove_dir_all(&layout)?;
    Ok(archive)
}

/// The names that OCI images use are Go's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn fill(root: &Path, helpers: &Path) -> Result<()> {
    for dir in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "var"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    // As in most images; runc mounts /var/run/secrets at /run/secrets because of it.
    symlink("../run", root.join("var/run"))?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .context("busybox is missing, install it: apt-get install -y busybox-static")?;
    let mut libraries = BTreeSet::new();
    add(root, busybox, Path::new("bin/busybox"), &mut libraries)?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    let inside = Path::new(HELPERS).strip_prefix("/")?;
    for program in PROGRAMS {
        let target = inside.join(program);
        add(root, &helpers.join(program), &target, &mut libraries)?;
    }
    copy_libraries(root, &libraries)
}

fn copy_libraries(root: &Path, libraries: &BTreeSet<PathBuf>) -> Result<()> {
    for library in libraries {
        copy(library, &root.join(library.strip_prefix("/")?))?;
    }
    Ok(())
}

fn add(
    root: &Path,
    program: &Path,
    target: &Path,
    libraries: &mut BTreeSet<PathBuf>,
) -> Result<()> {
    copy(program, &root.join(target))?;
    // ldd fails on a static program; whatever is missing otherwise shows when the container starts it.
    let listing = Command::new("ldd")
        .arg(program)
        .output()
        .context("run ldd")?;
    libraries.extend(parse_ldd(&String::from_utf8_lossy(&listing.stdout)));
    Ok(())
}

/// The absolute paths in `ldd`'s output, the loader's included.
fn parse_ldd(listing: &str) -> impl Iterator<Item = PathBuf> {
    listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

fn tar(folder: &Path, archive: &Path) -> Result<()> {
    run(Command::new("tar")
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .arg("."))
    .map(drop)
}

fn json_blob(layout: &Path, value: &Value, media_type: &str) -> Result<Value> {
    let file = layout.join("blob.json");
    fs::write(&file, value.to_string())?;
    blob(layout, &file, media_type)
}

/// Moves a file to where its digest says; gives its descriptor.
fn blob(layout: &Path, file: &Path, media_type: &str) -> Result<Value> {
    let size = fs::metadata(file)?.len();
    let sum = run(Command::new("sha256sum").arg(file))?;
    let digest = sum.split(' ').next().unwrap_or_default();
    fs::rename(file, layout.join("blobs/sha256").join(digest))?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size}))
}

/// Runs a command for its standard output.
fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_lists_libraries_and_the_loader() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f1d)\n";
        let found: Vec<_> = parse_ldd(listing).collect();
        assert_eq!(
            found,
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert_eq!(parse_ldd("\tnot a dynamic executable\n").count(), 0);
    }
}
