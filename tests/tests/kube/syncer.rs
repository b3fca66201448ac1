//! `auditor sync-associations`, as the cluster runs it.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use lab::{
    auditor::terminate,
    node::CLUSTER_NAME,
    patience,
    service::{
        apiserver::{Resource, Role},
        eks::Eks,
    },
};
use serde_json::Value;

use crate::{stage::Stage, support};

pub const NAMESPACE: &str = "kube-system";
pub const NAME: &str = "pod-identity-associations";
/// The least that it allows.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// A replica; killed when dropped.
pub struct Syncer {
    child: Child,
    log: PathBuf,
}

impl Syncer {
    pub fn start(stage: &Stage, eks: &Eks) -> Result<Self> {
        let kubeconfig = stage.api.kubeconfig(stage.lab.dir(), Role::Sync)?;
        let log = stage.lab.dir().join(format!("sync-{}.log", uuid()));
        let child = Command::new(support::auditor())
            .args(["sync-associations", "--cluster-name", CLUSTER_NAME])
            .args(["--to", &format!("kube:{NAMESPACE}/{NAME}")])
            .args(["--interval", &format!("{}s", INTERVAL.as_secs())])
            .args(["--log-level", "info,auditor=debug"])
            .env("KUBECONFIG", kubeconfig)
            .envs(eks.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("start auditor sync-associations")?;
        Ok(Self { child, log })
    }

    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn stop(&mut self) -> Result<bool> {
        Ok(terminate(&mut self.child, Duration::from_secs(5) * patience())?.success())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a ConfigMap that fits, and returns its `data`.
    pub fn written(&mut self, stage: &Stage, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        self.written_within(Duration::from_secs(20), stage, fits)
    }

    pub fn written_within(
        &mut self,
        limit: Duration,
        stage: &Stage,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + limit * patience();
        let key = (Resource::ConfigMaps, NAMESPACE.to_owned(), NAME.to_owned());
        loop {
            let found = stage.api.store().get(&key);
            if let Some(object) = &found
                && fits(&object["data"])
            {
                return Ok(object["data"].clone());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("sync-associations ended with {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                let data = found.map(|object| object["data"].clone());
                bail!(
                    "the ConfigMap is not as it should be: {data:?}\n{}",
                    self.log()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn uuid() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_nanos().to_string()
}
