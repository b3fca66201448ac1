//! Kubernetes' control plane from Debian alone: no suite has a package of the servers, but bookworm's source package
//! `kubernetes` holds them with all that they depend on.

mod source;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use self::source::Build;
use crate::{apt, process};

/// Upstream's version in bookworm's source package (1.20.5+really1.20.2).
const VERSION: &str = "1.20.2";
/// Newer ones refuse some of what 1.20 vendors.
const GO_PACKAGE: &str = "golang-1.19-go";
const GO_ROOT: &str = "/usr/lib/go-1.19";

pub struct Programs {
    pub apiserver: PathBuf,
    pub controller_manager: PathBuf,
    pub etcd: PathBuf,
}

/// All of them, from the cache or made now.
///
/// # Errors
/// Says what to install or what failed.
pub fn programs() -> Result<Programs> {
    let cache = process::cache_directory("kubernetes")?;
    let [apiserver, controller_manager] = built(&cache)?;
    Ok(Programs {
        apiserver,
        controller_manager,
        etcd: etcd(&cache)?,
    })
}

/// Unpacked and not installed: its package would start a service.
fn etcd(cache: &Path) -> Result<PathBuf> {
    let unpacked = cache.join("etcd-server");
    let program = unpacked.join("usr/bin/etcd");
    if program.exists() {
        return Ok(program);
    }
    debian()?;
    process::step(
        "fetching etcd-server",
        "the API server's store, unpacked and not installed",
        || {
            let partial = cache.join(format!("etcd-{}.partial", std::process::id()));
            fs::create_dir_all(&partial)?;
            let mut download = Command::new("apt-get");
            download.args([
                "-q",
                "-o",
                "APT::Sandbox::User=root",
                "download",
                "etcd-server",
            ]);
            process::run(download.current_dir(&partial))
                .context("apt knows no etcd-server; run: apt-get update")?;
            let package = entry(&partial, "etcd-server_", ".deb")?;
            let tree = partial.join("tree");
            process::run(Command::new("dpkg").arg("-x").arg(package).arg(&tree))?;
            fs::rename(tree, &unpacked)?;
            Ok(fs::remove_dir_all(&partial)?)
        },
    )?;
    Ok(program)
}

/// Those that are compiled.
fn built(cache: &Path) -> Result<[PathBuf; 2]> {
    const NAMES: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];
    let programs = NAMES.map(|name| cache.join(format!("{name}-{VERSION}")));
    if programs.iter().all(|program| program.exists()) {
        return Ok(programs);
    }
    debian()?;
    if !Path::new(GO_ROOT).join("bin/go").exists() {
        apt::install(&[GO_PACKAGE], "compiles Kubernetes")?;
    }
    process::step(
        &format!("building {} {VERSION}", NAMES.join(" and ")),
        "from Debian's source package, once; 10 to 15 minutes of two cores",
        || {
            let directory = cache.join("build");
            let build = Build::prepare(&directory)?;
            for (name, program) in NAMES.iter().zip(&programs) {
                if !program.exists() {
                    fs::rename(build.program(name)?, program)?;
                }
            }
            // Some gigabytes of objects; nothing needs them again.
            Ok(fs::remove_dir_all(&directory)?)
        },
    )?;
    Ok(programs)
}

fn debian() -> Result<()> {
    ensure!(
        apt::here(),
        "this is not Debian: Kubernetes is built from Debian bookworm's source package `kubernetes`"
    );
    Ok(())
}

fn entry(dir: &Path, prefix: &str, suffix: &str) -> Result<PathBuf> {
    fs::read_dir(dir)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.starts_with(prefix) && name.ends_with(suffix)
            })
        })
        .with_context(|| format!("no {prefix}*{suffix} in {}", dir.display()))
}
