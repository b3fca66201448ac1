//! etcd, kube-apiserver and kube-controller-manager as processes of the lab's node, on loopback ports.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    api::{Api, JSON},
    credentials::{Credentials, kubeconfig},
};
use crate::{node::Lab, patience};

/// What may be killed and started again.
struct Daemon {
    name: &'static str,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    fn start(&mut self, mut command: Command) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL.
    fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn wait(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60) * patience();
        while !ready() {
            let child = self.child.as_mut().context("it does not run")?;
            if let Some(status) = child.try_wait()? {
                bail!("{} ended with {status}\n{}", self.name, self.log_tail());
            }
            ensure!(
                Instant::now() < deadline,
                "{} is not {what} in time\n{}",
                self.name,
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            // Fails only where it has ended.
            let _ = self.kill();
        }
    }
}

/// Where an API server listens: its clients know one port, a second one is known to nobody but the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Front,
    Back,
}

pub struct Server {
    programs: Programs,
    credentials: Credentials,
    dir: PathBuf,
    controllers: Daemon,
    apiserver: Daemon,
    etcd: Daemon,
    flags: &'static [&'static str],
    etcd_port: u16,
    peer_port: u16,
    ports: [u16; 2],
    admin: String,
}

#[derive(Clone, Debug)]
pub struct Programs {
    pub apiserver: PathBuf,
    /// Where there is none, there are no controllers.
    pub controller_manager: Option<PathBuf>,
    pub etcd: PathBuf,
}

impl Server {
    /// `flags`: of kube-apiserver, besides those that are always there.
    pub fn start(lab: &Lab, programs: Programs, flags: &'static [&'static str]) -> Result<Self> {
        let controllers = programs.controller_manager.iter();
        for program in controllers.chain([&programs.apiserver, &programs.etcd]) {
            ensure!(
                program.is_file(),
                "there is no {}: `cargo xtask e2e apiserver` makes it",
                program.display()
            );
        }
        let dir = lab.dir().join("control-plane");
        fs::create_dir(&dir)?;
        let credentials = Credentials::make(&dir.join("credentials"))?;
        let admin = uuid::Uuid::new_v4().simple().to_string();
        fs::write(
            credentials.file("tokens.csv"),
            format!("{admin},admin,admin,\"system:masters\"\n"),
        )?;
        let daemon = |name| Daemon {
            name,
            log: dir.join(format!("{name}.log")),
            child: None,
        };
        let mut this = Self {
            controllers: daemon("kube-controller-manager"),
            apiserver: daemon("kube-apiserver"),
            etcd: daemon("etcd"),
            flags,
            etcd_port: free_port()?,
            peer_port: free_port()?,
            ports: [free_port()?, free_port()?],
            programs,
            credentials,
            dir,
            admin,
        };
        this.start_etcd(lab)?;
        this.start_apiserver(lab, Door::Front, &[])?;
        Ok(this)
    }

    pub fn url(&self, door: Door) -> String {
        let [front, back] = self.ports;
        let port = match door {
            Door::Front => front,
            Door::Back => back,
        };
        format!("https://127.0.0.1:{port}")
    }

    /// As one who may do everything.
    pub fn api(&self, door: Door) -> Api {
        Api {
            url: self.url(door),
            ca: self.ca(),
            token: Some(self.admin.clone()),
        }
    }

    pub fn ca(&self) -> PathBuf {
        self.credentials.file("ca.crt")
    }

    /// The API server as a ServiceAccount: with a token from itself (TokenRequest).
    pub fn api_of(&self, namespace: &str, account: &str) -> Result<Api> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200}});
        let api = self.api(Door::Front);
        let answer = api.create(&path, &request)?;
        let token = answer["status"]["token"].as_str().context("no token")?;
        Ok(Api {
            token: Some(token.to_owned()),
            ..api
        })
    }

    /// Writes how `api` is reached, for client programs; gives the file.
    pub fn kubeconfig(&self, api: &Api, name: &str) -> Result<PathBuf> {
        let file = self.dir.join(format!("{name}.kubeconfig"));
        let token = api.token.as_deref().context("a client has a token")?;
        fs::write(&file, kubeconfig(&api.url, &api.ca, token))?;
        Ok(file)
    }

    /// Those of `names`, which may do everything; returns before they have begun.
    pub fn start_controllers(&mut self, lab: &Lab, names: &[&str]) -> Result<()> {
        let program = self.programs.controller_manager.as_ref();
        let program = program.context("there is no kube-controller-manager")?;
        let kubeconfig = self.kubeconfig(&self.api(Door::Front), "controllers")?;
        let mut command = lab.command("system.slice/kube-controller-manager.service", program)?;
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        command.args([
            flag("kubeconfig", &kubeconfig),
            flag("root-ca-file", &self.ca()),
            flag("cert-dir", &self.dir),
            format!("--controllers={}", names.join(",")),
        ]);
        // It listens nowhere.
        command.args(["--leader-elect=false", "--port=0", "--secure-port=0"]);
        self.controllers.start(command)
    }

    pub fn start_etcd(&mut self, lab: &Lab) -> Result<()> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let mut command = lab.command("system.slice/etcd.service", &self.programs.etcd)?;
        command.arg("--data-dir").arg(self.dir.join("etcd"));
        for (flag, value) in [
            ("--name", "lab"),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &format!("lab={peer}")),
        ] {
            command.arg(flag).arg(value);
        }
        // 3.4 asks for this word elsewhere than on x86-64.
        command.env("ETCD_UNSUPPORTED_ARCH", "arm64");
        self.etcd.start(command)?;
        let api = self.etcd_api();
        self.etcd.wait("healthy", || {
            api.get("/health")
                .is_ok_and(|answer| answer["health"] == "true")
        })
    }

    pub fn start_apiserver(&mut self, lab: &Lab, door: Door, more: &[&str]) -> Result<()> {
        let url = self.url(door);
        let port = url.rsplit(':').next().unwrap_or_default().to_owned();
        let program = &self.programs.apiserver;
        let mut command = lab.command("system.slice/kube-apiserver.service", program)?;
        let mut flag = |name: &str, value: &Path| {
            command.arg(format!("--{name}={}", value.display()));
        };
        let file = |name: &str| self.credentials.file(name);
        flag("tls-cert-file", &file("server.crt"));
        flag("tls-private-key-file", &file("server.key"));
        flag("token-auth-file", &file("tokens.csv"));
        flag("service-account-key-file", &file("signing.pub"));
        flag("service-account-signing-key-file", &file("signing.key"));
        flag("cert-dir", &self.dir);
        command.arg(format!(
            "--etcd-servers=http://127.0.0.1:{}",
            self.etcd_port
        ));
        command.arg(format!("--secure-port={port}"));
        command.args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.100.0.0/24",
            // Compaction is the lab's to do.
            "--etcd-compaction-interval=0",
        ]);
        command.args(self.flags).args(more);
        self.apiserver.start(command)?;
        let api = self.api(door);
        self.apiserver.wait("ready", || api.is_ready())
    }

    pub fn kill_apiserver(&mut self) -> Result<()> {
        self.apiserver.kill()
    }

    pub fn kill_etcd(&mut self) -> Result<()> {
        self.etcd.kill()
    }

    fn etcd_api(&self) -> Api {
        Api {
            url: format!("http://127.0.0.1:{}", self.etcd_port),
            ca: self.ca(),
            token: None,
        }
    }

    /// Forgets all earlier revisions: nobody can watch from one of them on. The revision moves on first, as it does in a
    /// cluster where others write. (etcd's JSON gateway, api `v3`.)
    pub fn compact(&self) -> Result<u64> {
        let etcd = self.etcd_api();
        let ask = |path: &str, body: Value| etcd.ask("POST", path, Some((JSON, &body.to_string())));
        let key = BASE64_STANDARD.encode("/lab/others-write");
        let mut revision = 0;
        for _ in 0..10 {
            let answer = ask("/v3/kv/put", json!({"key": key, "value": ""}))?;
            let text = answer["header"]["revision"].as_str().unwrap_or_default();
            revision = text.parse().context("etcd told no revision")?;
        }
        ask(
            "/v3/kv/compaction",
            json!({"revision": revision.to_string(), "physical": true}),
        )?;
        Ok(revision)
    }
}

/// One that nobody listens on just now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
