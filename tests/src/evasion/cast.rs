//! The pods of one technique, and what its declaration's words mean for them.

use std::fs;

use anyhow::{Context, Result, bail};

use super::declaration::{Actor, Declaration, Expectation, Feature, Line, Role, Step};
use crate::{
    expect::Expected,
    node::{
        Lab, Pod, PodSpec,
        cluster::ROLES,
        pod::{POD_IDENTITY, SubPath},
    },
};

/// Where a thief with [`Feature::HostKubelet`] sees the kubelet's directory.
const HOST_KUBELET: &str = "/host/kubelet";
const INBOX: &str = "/inbox";
/// A victim with [`Feature::SubPath`] has its token here once more.
const SUB_PATH: &str = "/etc/alias";
/// What a victim with [`Feature::OtherFile`] calls its token.
const OTHER_FILE: &str = "notes/readme.txt";

pub struct Cast {
    thief: Pod,
    victim: Option<Pod>,
}

impl Cast {
    /// The victim has a Pod Identity association; the thief has none, and no token but the API server's.
    pub fn start(lab: &mut Lab, name: &str, declaration: &Declaration) -> Result<Self> {
        let victim = match &declaration.victim {
            None => None,
            Some(features) => {
                let app = format!("{name}-victim");
                lab.cluster
                    .associate("payments", &app, &format!("{ROLES}/{app}"))?;
                let spec = PodSpec::new("payments", &app).with_pod_identity();
                Some(lab.start(with(lab, spec, features))?)
            }
        };
        let spec = with(lab, PodSpec::new("shop", name), &declaration.thief);
        let thief = lab.start(spec)?;
        Ok(Self { thief, victim })
    }

    /// Runs one step; what it printed.
    pub fn act(&self, lab: &mut Lab, name: &str, step: &Step) -> Result<String> {
        let pod = match step.by {
            Actor::Thief => &self.thief,
            Actor::Victim => self.victim()?,
            Actor::Rotation => {
                lab.rotate(self.victim()?, POD_IDENTITY)?;
                return Ok(String::new());
            }
        };
        let args = step.args.iter().map(|arg| self.fill(lab, arg));
        let args = args.collect::<Result<Vec<String>>>()?;
        let mut argv: Vec<&str> = match &step.program {
            Some(program) => vec![program],
            None => vec!["evade", name],
        };
        argv.extend(args.iter().map(String::as_str));
        lab.run(pod, &argv)
    }

    pub fn expected(&self, expectation: &Expectation) -> Result<Vec<Expected>> {
        let mut all = Vec::new();
        for line in &expectation.lines {
            all.extend(vec![self.line(line)?; line.count]);
        }
        Ok(all)
    }

    fn line(&self, line: &Line) -> Result<Expected> {
        let mut findings = line.findings.clone();
        findings.sort();
        let mut facts = vec![
            ("event", line.event.clone()),
            ("pod", self.name(line.pod)?),
            ("relation", line.relation.clone().unwrap_or("null".into())),
            ("findings", findings.join(" ")),
        ];
        if let Some(owner) = line.owner {
            facts.push(("owner", self.name(owner)?));
        }
        facts.extend(line.endpoint.clone().map(|e| ("endpoint", e)));
        facts.extend(line.outcome.clone().map(|o| ("outcome", o)));
        Ok(Expected::line(facts))
    }

    fn name(&self, role: Role) -> Result<String> {
        Ok(match role {
            Role::Thief => self.thief.key(),
            Role::Victim => self.victim()?.key(),
            Role::Nobody => "null".into(),
        })
    }

    fn victim(&self) -> Result<&Pod> {
        self.victim.as_ref().context("there is no victim")
    }

    fn fill(&self, lab: &mut Lab, arg: &str) -> Result<String> {
        let Some((before, rest)) = arg.split_once('{') else {
            return Ok(arg.to_owned());
        };
        let (word, after) = rest.split_once('}').context("a brace without its other")?;
        let victim = self.victim()?;
        let below = victim.token_below(HOST_KUBELET.as_ref(), POD_IDENTITY);
        let value = match word {
            "token" => below.to_string_lossy().into_owned(),
            "subpath" => format!(
                "{HOST_KUBELET}/pods/{}/volume-subpaths/{POD_IDENTITY}/main/0",
                victim.spec.node_uid()
            ),
            "own" => victim
                .spec
                .token(POD_IDENTITY)
                .map(|t| t.path())
                .context("the victim has no token")?,
            "init" => victim.init_pid.to_string(),
            "holder" => holder(victim)?.to_string(),
            "victim" => lab.ip_of(victim)?,
            other => bail!("nothing is called {{{other}}}"),
        };
        Ok(format!("{before}{value}{after}"))
    }
}

fn with(lab: &Lab, mut spec: PodSpec, features: &[Feature]) -> PodSpec {
    for feature in features {
        spec = match feature {
            Feature::HostKubelet => spec.with_host_path(&lab.kubelet_root(), HOST_KUBELET),
            Feature::Inbox => spec.with_host_path(&lab.inbox(), INBOX),
            Feature::HostPid => {
                spec.host_pid = true;
                spec
            }
            Feature::SubPath => {
                spec.sub_paths.push(SubPath {
                    volume: POD_IDENTITY.into(),
                    file: POD_IDENTITY.into(),
                    target: SUB_PATH.into(),
                });
                spec
            }
            Feature::OtherFile => {
                let tokens = spec.tokens.iter_mut();
                for token in tokens.filter(|t| t.volume == POD_IDENTITY) {
                    token.file = OTHER_FILE.into();
                }
                spec
            }
        };
    }
    spec
}

/// The process that the pod left running besides its init.
fn holder(pod: &Pod) -> Result<u32> {
    let processes = fs::read_to_string(pod.cgroup.join("cgroup.procs"))?;
    let mut others = processes
        .lines()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| *pid != pod.init_pid);
    let found = others.next();
    found.with_context(|| format!("{} has left no process running", pod.key()))
}
