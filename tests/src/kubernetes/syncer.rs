//! `auditor sync-associations`, with no other rights than `manifests/rbac/sync.yaml` gives.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    api::Api,
    rbac::NAMESPACE,
    server::{Door, Server},
};
use crate::{
    node::{CLUSTER_NAME, Lab},
    patience,
};

/// Its Lease has the same name.
pub const CONFIG_MAP: &str = "pod-identity-associations";

/// Writes the lab's associations file into the ConfigMap, every few seconds; killed when dropped.
pub struct Syncer {
    child: Child,
    log: PathBuf,
}

/// What the nodes are told.
pub fn source() -> String {
    format!("kube:{NAMESPACE}/{CONFIG_MAP}")
}

impl Syncer {
    /// Returns when the ConfigMap is there.
    pub fn start(lab: &Lab, server: &Server, auditor: &Path) -> Result<Self> {
        let account = "credential-auditor-sync";
        let kubeconfig = server.kubeconfig(&server.api_of(NAMESPACE, account)?, account)?;
        let log = lab.dir().join("sync.log");
        let mut command = lab.command("system.slice/sync.service", auditor)?;
        command
            .args(["sync-associations", "--cluster-name", CLUSTER_NAME])
            .arg("--from")
            .arg(format!(
                "file:{}",
                lab.cluster.associations_file().display()
            ))
            .args(["--to", &source(), "--interval", "5s"]);
        let child = command
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("start auditor sync-associations")?;
        let mut this = Self { child, log };
        this.wait_written(&server.api(Door::Front))?;
        Ok(this)
    }

    fn wait_written(&mut self, api: &Api) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}");
        loop {
            let found = api.get(&path);
            if found.is_ok_and(|object| object["data"]["complete"] == "true") {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("sync-associations has written no ConfigMap ({ended:?}): {log}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
