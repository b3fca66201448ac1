//! A Prometheus of the suite's own: a child on loopback, its data in the lab's directory.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::api::Api;
use crate::{
    auditor::{tail, terminate},
    node::{Lab, NODE_NAME},
    patience,
};

/// What the Operator makes of `manifests/alerts/pod-monitor.yaml` for one auditor.
pub const NAMESPACE: &str = "credential-auditor";
pub const POD: &str = "credential-auditor-x7k2p";
const JOB: &str = "credential-auditor/credential-auditor";

/// Ended when dropped.
pub struct Prometheus {
    child: Child,
    pub api: Api,
}

impl Prometheus {
    /// Starts it; it reads the auditor's metrics and evaluates the rules each second.
    pub fn start(lab: &Lab, program: &Path, rules: &Path, auditor: &str) -> Result<Self> {
        let dir = lab.dir().join("prometheus");
        fs::create_dir_all(&dir)?;
        let config = dir.join("prometheus.yaml");
        fs::write(&config, configuration(rules, auditor))?;
        let addr = free_address()?;
        let log = dir.join("log");
        let mut command = lab.command("system.slice/prometheus.service", program)?;
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!(
            "--storage.tsdb.path={}",
            dir.join("data").display()
        ));
        command.arg(format!("--web.listen-address={addr}"));
        command.arg("--log.level=warn");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = command.spawn().context("start Prometheus")?;
        let mut this = Self {
            child,
            api: Api { addr },
        };
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        while !this.api.is_ready() {
            let ended = this.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("Prometheus is not ready ({ended:?}):\n  {}", tail(&log));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(this)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if terminate(&mut self.child, Duration::from_secs(10)).is_err() {
            // Fails only where it has ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn configuration(rules: &Path, auditor: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}']\n\
         scrape_configs:\n\
         - job_name: {JOB}\n  \
           static_configs:\n  \
           - targets: ['{auditor}']\n    \
             labels: {{namespace: {NAMESPACE}, pod: {POD}, container: auditor, node: {NODE_NAME}}}\n",
        rules.display()
    )
}

/// Of loopback. Another program may take it before Prometheus does; then that says so.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
