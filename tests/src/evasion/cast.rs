//! The pods of one technique, and what its declaration's words mean for them.

use std::fs;

use anyhow::{Context, Result, bail};

use super::declaration::{Actor, Binding, Declaration, Expectation, Feature, Line, Role, Step};
use crate::{
    expect::Expected,
    node::{
        CONTAINER, Lab, Pod, PodSpec,
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
    victim_role: String,
    /// What thief and victim run, where that is not `evade`.
    programs: (Option<String>, Option<String>),
}

impl Cast {
    /// The victim has a Pod Identity association; the thief has none, and no token but the API server's.
    pub fn start(lab: &mut Lab, name: &str, declaration: &Declaration) -> Result<Self> {
        let app = format!("{name}-victim");
        let victim_role = format!("{ROLES}/{app}");
        let victim = match &declaration.victim {
            None => None,
            Some(features) => {
                lab.cluster.associate("payments", &app, &victim_role)?;
                let spec = PodSpec::new("payments", &app).with_pod_identity();
                Some(lab.start(with(lab, spec, features))?)
            }
        };
        let mut spec = with(lab, PodSpec::new("shop", name), &declaration.thief);
        spec.caps.clone_from(&declaration.caps);
        let thief = lab.start(spec)?;
        let last = |actor: Actor| {
            let mut steps = declaration.run.iter().rev();
            steps.find(|step| step.by == actor)?.program.clone()
        };
        Ok(Self {
            thief,
            victim,
            victim_role,
            programs: (last(Actor::Thief), last(Actor::Victim)),
        })
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

    /// `counted`: by the technique itself.
    pub fn expected(
        &self,
        expectation: &Expectation,
        counted: Option<usize>,
    ) -> Result<Vec<Expected>> {
        let mut all = Vec::new();
        for line in &expectation.lines {
            let count = match line.counted {
                true => counted.context("the technique has counted nothing")?,
                false => line.count,
            };
            all.extend(vec![self.line(line)?; count]);
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
            ("verdict", line.verdict().into()),
            (
                "undetermined",
                line.undetermined.clone().unwrap_or_default(),
            ),
            ("exempted", line.exempted.clone().unwrap_or_default()),
        ];
        if let Some(owner) = line.owner {
            facts.push(("owner", self.name(owner)?));
        }
        facts.extend(line.endpoint.clone().map(|e| ("endpoint", e)));
        facts.extend(line.outcome.clone().map(|o| ("outcome", o)));
        match line.event.as_str() {
            "connection_closed" => {}
            // Only its address tells whose it is.
            "agent_accept" => facts.push(("attribution", "address".into())),
            _ => facts.extend(self.actor(line)?),
        }
        Ok(Expected::line(facts))
    }

    /// Who does it, and whose the credentials are.
    fn actor(&self, line: &Line) -> Result<Vec<(&'static str, String)>> {
        let pod = match line.pod {
            Role::Thief => Some(&self.thief),
            Role::Victim => Some(self.victim()?),
            Role::Nobody => None,
        };
        let or_null = |text: Option<&str>| text.unwrap_or("null").to_owned();
        let is_host_pid = pod.is_none_or(|pod| pod.spec.host_pid);
        let of_victim = [Some(line.pod), line.owner].contains(&Some(Role::Victim));
        let binding = match of_victim && line.binding.is_none() {
            true => format!("pod-identity {}", self.victim_role),
            false => or_null(None),
        };
        let container = pod.map(|_| CONTAINER);
        let attribution = if pod.is_some() { "cgroup" } else { "conflict" };
        let told = |told: &Option<String>, usual: &str| told.clone().unwrap_or(usual.to_owned());
        let mut facts = vec![
            ("attribution", told(&line.attribution, attribution)),
            ("container", told(&line.container, &or_null(container))),
            (
                "service_account",
                or_null(pod.map(|pod| pod.spec.service_account.as_str())),
            ),
            (
                "exec_session",
                if is_host_pid { "null" } else { "false" }.to_owned(),
            ),
        ];
        if line.binding != Some(Binding::Any) {
            facts.push(("binding", binding));
        }
        let comm = told(&line.comm, self.program(line.pod));
        if comm != "any" {
            facts.push(("comm", comm));
        }
        Ok(facts)
    }

    /// That the last step of a pod's runs.
    fn program(&self, role: Role) -> &str {
        let program = match role {
            Role::Victim => &self.programs.1,
            Role::Thief | Role::Nobody => &self.programs.0,
        };
        program.as_deref().unwrap_or("evade")
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
