//! A directory with everything that examples name, where they are run: copies of the documents' files, and programs of which those
//! that want a cluster or AWS are stood for by scripts that ask the real one whether it takes what is typed.

use std::{
    env, fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::tools::Tools;
use crate::process;

/// What examples may start. All else is not found: an example runs as root here.
const PROGRAMS: [&str; 38] = [
    "awk",
    "base64",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "diff",
    "dirname",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "jq",
    "less",
    "ls",
    "mkdir",
    "mv",
    "printf",
    "sed",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "tar",
    "tee",
    "touch",
    "tr",
    "true",
    "uniq",
    "wc",
];

/// Paths of a node, which are below the place instead.
const OF_THE_NODE: [&str; 6] = [
    "/var/lib/auditor",
    "/var/lib/credential-auditor",
    "/var/log/auditor",
    "/var/log/credential-auditor",
    "/etc/auditor/",
    "/etc/credential-auditor/",
];

const NO_OBJECTS: &str =
    r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[]}"#;

/// What a reader writes into `manifests/kustomize/cluster/cluster.env` first.
pub const CLUSTER_ENV: &str = "CLUSTER_NAME=prod\nIMAGE=registry.test/credential-auditor:0.1.0\n";

pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// # Errors
    /// When something cannot be copied.
    pub fn new(tools: &Tools) -> Result<Self> {
        let directory = process::target_directory().join("examples/place");
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        }
        let this = Self { directory };
        for name in [
            "bin",
            "etc/auditor",
            "var/lib",
            "var/log",
            "kubelet",
            "target/release",
            ".ci",
        ] {
            fs::create_dir_all(this.path(name))?;
        }
        this.files()?;
        this.programs(tools)?;
        Ok(this)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The documents' files, and what a reader has instead of them: a cluster's objects, a policy, recorded lines.
    fn files(&self) -> Result<()> {
        let root = process::workspace();
        for name in ["docs", "manifests"] {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(root.join(name)).arg(&self.directory);
            process::capture(&mut copy)?;
        }
        for name in ["cluster.json", "etc/auditor/cluster.json"] {
            fs::write(self.path(name), NO_OBJECTS)?;
        }
        for name in ["policy.yaml", "etc/auditor/policy.yaml"] {
            fs::write(self.path(name), "version: 1\n")?;
        }
        for name in ["assoc.json", "associations.json"] {
            fs::write(self.path(name), r#"{"associations":[]}"#)?;
        }
        let samples = root.join("docs/samples");
        for name in ["events.jsonl", "var/log/auditor.jsonl"] {
            fs::copy(samples.join("stream.jsonl"), self.path(name))?;
        }
        for name in ["kustomize/cluster", "simulate"] {
            fs::write(
                self.path(&format!("manifests/{name}/cluster.env")),
                CLUSTER_ENV,
            )?;
        }
        // An auditor of the chart has its state there, that of `daemon` in the other.
        symlink("auditor", self.path("var/lib/credential-auditor"))?;
        let mut activities = String::new();
        for entry in fs::read_dir(samples.join("ocsf"))? {
            let activity: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
            activities.push_str(&format!("{activity}\n"));
        }
        fs::write(self.path("ocsf.jsonl"), activities)?;
        Ok(())
    }

    fn programs(&self, tools: &Tools) -> Result<()> {
        for program in PROGRAMS {
            // What is missing is not found where an example wants it.
            if let Some(path) = process::find(program) {
                symlink(path, self.path("bin").join(program))?;
            }
        }
        for name in ["bin/auditor", "target/release/auditor"] {
            symlink(&tools.auditor, self.path(name))?;
        }
        self.script("bin/sudo", "exec \"$@\"")?;
        // It starts others, from where they are.
        self.script("bin/man", "PATH=/usr/bin:/bin exec man \"$@\"")?;
        self.script(
            ".ci/run",
            &format!("bash -n {}", process::workspace().join(".ci/run").display()),
        )?;
        let cargo = include_str!("stubs/cargo.sh")
            .replace("@CARGO@", &shown(process::find("cargo")))
            .replace("@HOME@", &env::var("HOME").unwrap_or_default())
            .replace("@XTASK@", &tools.xtask.display().to_string())
            .replace("@LAB@", &tools.lab.display().to_string())
            .replace("@WORKSPACE@", &process::workspace().display().to_string());
        self.script("bin/cargo", &cargo)?;
        if let Ok(venv) = &tools.venv {
            let kubectl = include_str!("stubs/kubectl.sh")
                .replace("@KUBECTL@", &venv.program("kubectl").display().to_string())
                .replace("@LIST@", NO_OBJECTS);
            self.script("bin/kubectl", &kubectl)?;
            let aws = include_str!("stubs/aws.sh")
                .replace("@AWS@", &venv.program("aws").display().to_string());
            self.script("bin/aws", &aws)?;
            let python = venv.program("python");
            let helm = process::workspace().join("tests/examples/helm.py");
            let helm = format!("exec {} {} \"$@\"", python.display(), helm.display());
            self.script("bin/helm", &helm)?;
        }
        Ok(())
    }

    fn script(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        let text = match text.starts_with("#!") {
            true => text.to_owned(),
            false => format!("#!/bin/sh\n{text}\n"),
        };
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| path.display().to_string())
    }

    /// Starts a script, in a network of its own: its ports are its own, and nobody is reached.
    ///
    /// # Errors
    /// When `unshare` cannot be started.
    pub fn start(&self, script: &str) -> Result<Running> {
        self.start_as("example", script)
    }

    fn start_as(&self, name: &str, script: &str) -> Result<Running> {
        let here = self.directory.display();
        let mut script = script.to_owned();
        for path in OF_THE_NODE {
            script = script.replace(path, &format!("{here}{path}"));
        }
        // A node's own paths are not this machine's.
        let script = script.replace("--host-proc /host/proc", "--host-proc /proc");
        let mut command = Command::new("unshare");
        command
            .args([
                "--net",
                "--",
                "sh",
                "-c",
                "ip link set lo up && PATH=$1 exec bash -euo pipefail -c \"$2\"",
                "sh",
            ])
            .arg(self.path("bin"))
            .arg(&script)
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("LESS", "-E")
            .env("MANPAGER", "cat")
            // Keys that open nothing: the command line wants some before it looks at what is asked.
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "example")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.path(&format!("{name}.out")))?)
            .stderr(fs::File::create(self.path(&format!("{name}.err")))?)
            .process_group(0);
        let child = command.spawn().context("cannot start `unshare`")?;
        Ok(Running(child))
    }

    /// What the last script wrote.
    pub fn said(&self) -> (String, String) {
        let read = |name| {
            let bytes = fs::read(self.path(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (read("example.out"), read("example.err"))
    }

    /// An auditor that `auditor status` can ask.
    ///
    /// # Errors
    /// When it is not ready within half a minute.
    pub fn daemon(&self) -> Result<Running> {
        let daemon = self.start_as(
            "daemon",
            "exec auditor run --node-name n1 --cluster file:cluster.json --state-dir /var/lib/auditor \
             --kubelet-root kubelet --metrics-listen 127.0.0.1:0 --output-file daemon.jsonl",
        )?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !fs::read_to_string(self.path("daemon.jsonl"))
            .unwrap_or_default()
            .contains("\"ready\"")
        {
            ensure!(
                Instant::now() < deadline,
                "the auditor is not ready: {}",
                fs::read_to_string(self.path("daemon.err")).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }
}

fn shown(path: Option<PathBuf>) -> String {
    path.as_deref()
        .map(Path::display)
        .map(|p| p.to_string())
        .unwrap_or_default()
}

/// A script with all that it started; stopped where this is dropped.
pub struct Running(Child);

impl Running {
    /// The exit code; none where it had to be stopped after `limit`.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status.code().unwrap_or(-1)));
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.stop();
        Ok(None)
    }

    fn stop(&mut self) {
        self.signal("-TERM");
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal("-KILL");
        }
        let _ = self.0.wait();
    }

    /// To its process group.
    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([signal, "--", &format!("-{}", self.0.id())]);
        let _ = kill
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}
