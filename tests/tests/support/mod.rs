//! What the end-to-end tests share: where the programs are, and an auditor on an empty node.

#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses a part of this"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::{auditor::Lines, cgroup, confinement, patience};
use serde_json::Value;
use tempfile::TempDir;

/// The directory of this package's programs.
pub fn helpers() -> PathBuf {
    let peek = Path::new(env!("CARGO_BIN_EXE_peek"));
    peek.parent().unwrap_or(peek).to_owned()
}

/// Says why a test did not run.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: mounts, cgroups, namespaces and BPF programs need root");
    }
    root
}

/// `AUDITOR_BIN`, by default the workspace's release build.
pub fn auditor() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/auditor");
    let path = std::env::var_os("AUDITOR_BIN").map_or(default, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no auditor at {}: run `cargo build --release -p auditor`, or set AUDITOR_BIN",
        path.display()
    );
    path
}

/// `AUDITOR_BACKEND`, by default `auto`.
pub fn backend() -> String {
    std::env::var("AUDITOR_BACKEND").unwrap_or("auto".into())
}

/// The input files of an auditor on a node without pods. Files are valid until a test breaks them.
pub struct Inputs {
    pub dir: TempDir,
}

impl Inputs {
    pub fn new() -> Self {
        let this = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        this.write(
            "cluster.json",
            r#"{"apiVersion":"v1","items":[],"kind":"List","metadata":{"resourceVersion":""}}"#,
        );
        this.write("associations.json", r#"{"associations":[]}"#);
        this.write("policy.yaml", "version: 1\n");
        fs::create_dir(this.path("kubelet")).expect("a kubelet root");
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).expect("write an input file");
        fs::rename(&new, self.path(name)).expect("replace an input file");
    }

    /// `auditor run` on these files with the DaemonSet's privileges, its lines in `out.jsonl`, state in `state`.
    pub fn command(&self) -> Command {
        let mut command = confinement::command(&helpers(), &auditor(), &[]);
        command.args(self.args());
        command
    }

    pub fn args(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).to_string_lossy().into_owned();
        let root = cgroup::find_root().expect("cgroup v2");
        let flags = [
            ["--node-name", "n1"].map(String::from),
            ["--cluster-name", "c1"].map(String::from),
            ["--instance-id", "i-0123456789abcdef0"].map(String::from),
            ["--cluster".into(), format!("file:{}", path("cluster.json"))],
            [
                "--associations".into(),
                format!("file:{}", path("associations.json")),
            ],
            ["--backend".into(), backend()],
            ["--policy".into(), path("policy.yaml")],
            ["--kubelet-root".into(), path("kubelet")],
            ["--cgroup-root".into(), root.to_string_lossy().into_owned()],
            ["--agent-netns", "/proc/self/ns/net"].map(String::from),
            ["--metrics-listen", "127.0.0.1:0"].map(String::from),
            ["--state-dir".into(), path("state")],
            ["--output-file".into(), path("out.jsonl")],
        ]
        .into_iter()
        .flatten();
        std::iter::once("run".to_owned()).chain(flags).collect()
    }
}

/// The command's output, once it has ended by itself within 20 s.
pub fn finish(mut command: Command) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let deadline = Instant::now() + Duration::from_secs(20) * patience();
    while child.try_wait().expect("wait").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("kill");
            let output = child.wait_with_output().expect("wait");
            panic!(
                "it does not end by itself: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("wait")
}

/// Status and body of a GET from the auditor that said `ready`.
pub fn get(ready: &Value, path: &str) -> (u16, String) {
    let address = ready["metrics"].as_str().expect("metrics are served");
    let stream = std::net::TcpStream::connect(address).expect("connect to /metrics");
    let mut stream = lab::http::Connection::new(stream);
    let (status, body) =
        lab::http::exchange(&mut stream, &lab::http::get(path, address)).expect("an answer");
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The exit code, and every one of `words` on stderr.
pub fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "stderr: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "stderr does not say {word:?}: {stderr}"
        );
    }
}

/// A running auditor; killed when dropped.
pub struct Running {
    pub child: Child,
    lines: Lines,
    log: PathBuf,
}

impl Running {
    /// Started, not yet ready.
    pub fn start(inputs: &Inputs) -> Self {
        Self::spawn(inputs, inputs.command())
    }

    /// The same by a command of its own, whose lines go where those of `inputs` go.
    pub fn spawn(inputs: &Inputs, mut command: Command) -> Self {
        let output = inputs.path("out.jsonl");
        let _ = fs::remove_file(&output);
        let log = inputs.path("log");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("start the auditor");
        Self {
            child,
            lines: Lines::new(&output),
            log,
        }
    }

    /// Waits for `ready` and returns what came before it, and it.
    pub fn ready(&mut self) -> Vec<Value> {
        self.until(|line| line["event"] == "ready")
    }

    /// Lines up to the first that fits.
    pub fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let mut lines = Vec::new();
        loop {
            match self.lines.try_next().expect("a good line") {
                Some(line) => {
                    let last = fits(&line);
                    lines.push(line);
                    if last {
                        return lines;
                    }
                }
                None => {
                    let ended = self.child.try_wait().expect("wait");
                    let log = fs::read_to_string(&self.log).unwrap_or_default();
                    assert!(ended.is_none(), "the auditor ended with {ended:?}: {log}");
                    assert!(
                        Instant::now() < deadline,
                        "no such line; there were {lines:#?}\n{log}"
                    );
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// The next line that is there already; why the auditor ended, if it did.
    pub fn poll(&mut self) -> Result<Option<Value>, String> {
        if let Some(line) = self.lines.try_next().expect("a good line") {
            return Ok(Some(line));
        }
        match self.child.try_wait().expect("wait") {
            Some(_) => Err(fs::read_to_string(&self.log).unwrap_or_default()),
            None => Ok(None),
        }
    }

    /// The rest of the lines, after the auditor has ended.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.lines.try_next().expect("a good line")).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a file as they are written.
pub struct Tail(Lines);

impl Tail {
    pub fn new(path: &Path) -> Self {
        Self(Lines::new(path))
    }

    /// Lines up to the first that fits.
    pub fn until(
        &mut self,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let mut lines = Vec::new();
        loop {
            match self.0.try_next()? {
                Some(line) => {
                    let last = fits(&line);
                    lines.push(line);
                    if last {
                        return Ok(lines);
                    }
                }
                None => {
                    anyhow::ensure!(Instant::now() < deadline, "waited for {what}");
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// The rest of the lines, after the auditor has ended; the last is `stopped`.
    pub fn rest(mut self) -> anyhow::Result<Vec<Value>> {
        let mut lines = Vec::new();
        while let Some(line) = self.0.try_next()? {
            lines.push(line);
        }
        anyhow::ensure!(
            lines.last().is_some_and(|line| line["event"] == "stopped"),
            "the last line is not `stopped`"
        );
        Ok(lines)
    }
}
