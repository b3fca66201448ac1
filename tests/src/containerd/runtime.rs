//! A containerd of the lab's own: root, state and socket below the lab's directory, never a system's.

use std::{
    borrow::Cow,
    ffi::OsString,
    fs::{self, File},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use rustix::fs::{FsWord, statfs};

use crate::{cgroup, node::Lab, patience, sys::mounts};

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAY: FsWord = 0x794c_7630;

/// The namespace that the kubelet's containers are in.
const NAMESPACE: &str = "k8s.io";

/// containerd, and how to ask it. Its shims and containers end with the lab's cgroup.
pub struct Runtime {
    dir: PathBuf,
    child: Child,
}

/// A container to be.
pub struct Launch<'a> {
    /// 64 hex digits.
    pub id: &'a str,
    pub image: &'a str,
    /// Absolute in every hierarchy.
    pub cgroup: &'a Path,
    /// Namespace type and file, of which it is not to have its own.
    pub join: Vec<(&'static str, PathBuf)>,
    pub mounts: Vec<Mount>,
    pub env: Vec<String>,
    pub argv: Vec<String>,
    /// Flags of `ctr run` for what it may do, beyond or short of what the runtime gives by default.
    pub confinement: Vec<String>,
}

pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    /// Bind mount options, by colons.
    pub options: Cow<'static, str>,
}

/// As the kubelet asks for volumes.
pub const VOLUME: &str = "rbind:rprivate:ro";
/// A hostPath with `mountPropagation: HostToContainer`.
pub const HOST_TO_CONTAINER: &str = "rbind:rslave:rw";

impl Runtime {
    pub fn start(lab: &Lab) -> Result<Self> {
        let dir = lab.dir().join("containerd");
        fs::create_dir(&dir)?;
        // An overlay takes no other overlay for its upper layer; this machine may be a container itself.
        if statfs(&dir)?.f_type == OVERLAY {
            mounts::tmpfs(&dir, "mode=0711")?;
        }
        let config = dir.join("config.toml");
        fs::write(&config, configuration(&dir))?;
        let log = File::create(dir.join("log"))?;
        let mut command = lab.command(cgroup::CONTAINERD, Path::new("containerd"))?;
        command.arg("--config").arg(&config);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start containerd")?;
        let mut this = Self { dir, child };
        this.wait_ready()?;
        Ok(this)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("containerd ended with {status}\n{}", self.log_tail());
            }
            ensure!(
                Instant::now() < deadline,
                "containerd does not answer\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// Where files of the runtime's side may lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// `ctr`, in containerd's own cgroup, where the kubelet's runtime client would be.
    fn ctr(&self, lab: &Lab) -> Result<Command> {
        let mut command = lab.command(cgroup::CONTAINERD, Path::new("ctr"))?;
        command.arg("--address").arg(self.socket());
        command.args(["--namespace", NAMESPACE]);
        Ok(command)
    }

    pub fn import(&self, lab: &Lab, archive: &Path) -> Result<()> {
        let mut command = self.ctr(lab)?;
        command.args(["image", "import"]).arg(archive);
        output(&mut command).map(drop)
    }

    /// Runs a container in the foreground and removes it when it ends.
    pub fn run(&self, lab: &Lab, launch: &Launch<'_>) -> Result<Command> {
        let mut command = self.ctr(lab)?;
        command.args(["run", "--rm", "--runc-root"]);
        command.arg(self.dir.join("runc"));
        command.arg("--fifo-dir").arg(self.dir.join("fifo"));
        command.arg("--pid-file").arg(self.pid_file(launch.id));
        command.arg("--cgroup").arg(launch.cgroup);
        for (kind, file) in &launch.join {
            let mut value = OsString::from(format!("{kind}:"));
            value.push(file);
            command.arg("--with-ns").arg(value);
        }
        for Mount {
            source,
            target,
            options,
        } in &launch.mounts
        {
            command.arg("--mount").arg(format!(
                "type=bind,src={},dst={target},options={options}",
                source.display()
            ));
        }
        for variable in &launch.env {
            command.arg("--env").arg(variable);
        }
        command.args(&launch.confinement);
        command.arg(launch.image).arg(launch.id).args(&launch.argv);
        Ok(command)
    }

    /// The init's pid on the host, as soon as it is known.
    pub fn pid_of(&self, id: &str) -> Option<u32> {
        let text = fs::read_to_string(self.pid_file(id)).ok()?;
        text.trim().parse().ok()
    }

    fn pid_file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.pid"))
    }

    /// `kubectl exec`, and exec probes: a process that the shim starts in the container.
    pub fn exec(&self, lab: &Lab, id: &str, argv: &[&str]) -> Result<String> {
        let mut command = self.ctr(lab)?;
        let exec_id = uuid::Uuid::new_v4().simple().to_string();
        command.args(["task", "exec", "--exec-id", &exec_id, "--fifo-dir"]);
        command.arg(self.dir.join("fifo")).arg(id).args(argv);
        output(&mut command)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing of the CRI plugin: the lab plays the kubelet and its part of the CRI.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{dir}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{dir}/opt"
"#
    )
}

/// 64 hex digits, as containerd's CRI makes them.
pub fn new_id() -> String {
    [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()]
        .map(|u| u.simple().to_string())
        .concat()
}

/// What a machine must have for this suite; the error says what is missing.
pub fn check_programs() -> Result<()> {
    for program in ["containerd", "ctr", "runc", "containerd-shim-runc-v2"] {
        let found = std::env::var_os("PATH")
            .into_iter()
            .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
            .any(|dir| dir.join(program).is_file());
        ensure!(
            found,
            "{program} is missing, install it: apt-get install -y --no-install-recommends containerd runc busybox-static"
        );
    }
    Ok(())
}

/// Runs a command for its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
