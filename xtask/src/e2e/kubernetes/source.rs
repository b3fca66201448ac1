//! Compiling Kubernetes' programs: Debian's source, the one generated package that it lacks, and Go.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{GO_ROOT, VERSION, entry};
use crate::process;

const COMMANDS: &str = "k8s.io/kubernetes/cmd";
const OPENAPI_GENERATOR: &str = "k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen";
const OPENAPI_PACKAGE: &str = "k8s.io/kubernetes/pkg/generated/openapi";

pub struct Build {
    dir: PathBuf,
}

impl Build {
    /// The source in `dir`, where what an interrupted build has left is used again.
    pub fn prepare(dir: &Path) -> Result<Self> {
        let this = Self {
            dir: dir.to_owned(),
        };
        this.source()?;
        this.openapi()?;
        Ok(this)
    }

    /// Builds a program of Kubernetes, such as `kube-apiserver`; gives its path.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let program = self.dir.join(name);
        self.go_build(&format!("{COMMANDS}/{name}"), &program)?;
        Ok(program)
    }

    /// Where Go looks for the package `k8s.io/kubernetes`.
    fn tree(&self) -> PathBuf {
        self.dir.join("gopath/src/k8s.io/kubernetes")
    }

    /// Downloads with package lists of its own, so that the machine's stay as they are.
    fn source(&self) -> Result<()> {
        if self.tree().join(".unpacked").exists() {
            return Ok(());
        }
        let apt = self.dir.join("apt");
        for dir in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(dir))?;
        }
        let list = apt.join("sources.list");
        fs::write(
            &list,
            "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
             http://deb.debian.org/debian bookworm main\n",
        )?;
        let apt_get = || {
            let mut command = Command::new("apt-get");
            for (option, value) in [
                ("Dir::Etc::sourcelist", list.clone()),
                ("Dir::Etc::sourceparts", "/dev/null".into()),
                ("Dir::State::lists", apt.join("lists")),
                ("Dir::Cache", apt.join("cache")),
                ("APT::Sandbox::User", "root".into()),
                ("Acquire::Retries", "3".into()),
            ] {
                command
                    .arg("-o")
                    .arg(format!("{option}={}", value.display()));
            }
            command.current_dir(&apt);
            command
        };
        process::run(apt_get().args(["-q", "update"]))?;
        process::run(apt_get().args(["-q", "source", "--download-only", "kubernetes"]))?;
        let archive = entry(&apt, "kubernetes_", ".orig.tar.gz")?;
        ensure!(
            archive.to_string_lossy().contains(VERSION),
            "Debian's source is {} now, not {VERSION}",
            archive.display()
        );
        let tree = self.tree();
        fs::create_dir_all(&tree)?;
        // Debian's patches are for kubectl only.
        let mut tar = Command::new("tar");
        tar.args(["--strip-components=1", "-xf"]).arg(archive);
        process::run(tar.arg("-C").arg(&tree))?;
        self.newer_reflect2(&apt)?;
        fs::write(tree.join(".unpacked"), "")?;
        Ok(fs::remove_dir_all(&apt)?)
    }

    /// The vendored reflect2 1.0.1 crashes when compiled by Go 1.18 or newer (an API server that answers no request with a
    /// map in it); Debian has 1.0.2, which does not.
    fn newer_reflect2(&self, scratch: &Path) -> Result<()> {
        let package = "golang-github-modern-go-reflect2-dev";
        let mut download = Command::new("apt-get");
        download.args(["-q", "-o", "APT::Sandbox::User=root", "download", package]);
        process::run(download.current_dir(scratch))
            .with_context(|| format!("apt knows no {package}; run: apt-get update"))?;
        let archive = entry(scratch, package, ".deb")?;
        let unpacked = scratch.join("reflect2");
        process::run(Command::new("dpkg").arg("-x").arg(archive).arg(&unpacked))?;
        let new = unpacked.join("usr/share/gocode/src/github.com/modern-go/reflect2");
        let vendored = self.tree().join("vendor/github.com/modern-go/reflect2");
        fs::remove_dir_all(&vendored)?;
        fs::rename(new, vendored).context("the package is laid out otherwise than it was")
    }

    /// The one generated package that the tree does not hold (`build/root/Makefile.generated_files`).
    fn openapi(&self) -> Result<()> {
        let generator = self.dir.join("openapi-gen");
        if !generator.exists() {
            self.go_build(OPENAPI_GENERATOR, &generator)?;
        }
        let inputs = tagged_packages(&self.tree())?;
        ensure!(!inputs.is_empty(), "no package asks for openapi-gen");
        let mut command = Command::new(&generator);
        command.args(["-i", &inputs.join(","), "-p", OPENAPI_PACKAGE]);
        command.args(["-O", "zz_generated.openapi", "-h"]);
        command.arg("hack/boilerplate/boilerplate.generatego.txt");
        command.arg("-r").arg(self.dir.join("violations.report"));
        self.in_tree(&mut command);
        process::capture(&mut command).map(drop)
    }

    fn in_tree(&self, command: &mut Command) {
        // Go finds the workspace by the path that it is told.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut directories = vec![PathBuf::from(GO_ROOT).join("bin")];
        directories.extend(std::env::split_paths(&path));
        command
            .current_dir(self.tree())
            .env("PWD", self.tree())
            .env("GOROOT", GO_ROOT)
            .env("GOPATH", self.dir.join("gopath"))
            .env("GOCACHE", self.dir.join("gocache"))
            // As upstream built 1.20: by GOPATH and vendor, without asking any module proxy.
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("CGO_ENABLED", "0");
        if let Ok(path) = std::env::join_paths(directories) {
            command.env("PATH", path);
        }
    }

    fn go_build(&self, package: &str, output: &Path) -> Result<()> {
        let go = Path::new(GO_ROOT).join("bin/go");
        let mut list = Command::new(&go);
        self.in_tree(&mut list);
        let total = process::capture(list.args(["list", "-deps", package]))?
            .lines()
            .count();
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(&go);
        command.args(["build", "-v", "-trimpath", "-ldflags"]);
        command.arg(format!(
            "-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION} \
             -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=20"
        ));
        command.arg("-o").arg(output).arg(package);
        self.in_tree(&mut command);
        println!("$ go build {package}");
        follow(&mut command, total)
    }
}

/// `go build -v` names each package that it has compiled: now and then one line of them.
fn follow(command: &mut Command, total: usize) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start go")?;
    let stderr = child.stderr.take().context("go has no stderr")?;
    let (begun, mut said) = (Instant::now(), Instant::now());
    let mut last = Vec::new();
    for (index, line) in BufReader::new(stderr).lines().enumerate() {
        let line = line?;
        if said.elapsed() > Duration::from_secs(15) {
            said = Instant::now();
            let seconds = begun.elapsed().as_secs();
            println!(
                "    {index} packages compiled after {seconds} s ({total} in all, from scratch)"
            );
        }
        last.push(line);
        if last.len() > 8 {
            last.remove(0);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("go build failed: {status}\n{}", last.join("\n"));
    }
    Ok(())
}

/// The packages with a file that is tagged for openapi-gen, as Go names them.
fn tagged_packages(tree: &Path) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    for (dir, prefix) in [
        ("pkg", "k8s.io/kubernetes/pkg"),
        ("staging/src/k8s.io", "k8s.io/kubernetes/vendor/k8s.io"),
    ] {
        tagged_below(&tree.join(dir), prefix, &mut packages)?;
    }
    packages.sort();
    Ok(packages)
}

fn tagged_below(dir: &Path, package: &str, found: &mut Vec<String>) -> Result<()> {
    let mut tagged = false;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        // As Go ignores them. Staging's vendor directories do not exist in this tree.
        let ignored = name.starts_with(['_', '.']) || name == "testdata";
        if kind.is_dir() && !ignored {
            tagged_below(&entry.path(), &format!("{package}/{name}"), found)?;
        } else if kind.is_file() && name.ends_with(".go") && !tagged {
            tagged = !name.starts_with("zz_generated")
                && fs::read_to_string(entry.path())
                    .is_ok_and(|text| text.contains("+k8s:openapi-gen="));
        }
    }
    if tagged {
        found.push(package.to_owned());
    }
    Ok(())
}
