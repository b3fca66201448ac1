//! A node with pods, its API server, and the auditor.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    auditor::{Auditor, Options},
    cleanup::Company,
    expect::{Expected, Tally},
    node::{Lab, Pod, PodSpec, cluster::ROLES, pod::IRSA},
    patience,
    service::{
        apiserver::{self, ApiServer, Role},
        web::Seen,
    },
};
use serde_json::Value;

use crate::support;

pub struct Stage {
    pub lab: Lab,
    pub api: ApiServer,
    auditor: Option<Auditor>,
    options: Options,
    /// Every `health` line so far.
    pub health: Vec<Value>,
    /// The ids of the lines that the labs of other tests caused.
    others: BTreeSet<String>,
}

impl Stage {
    /// A node and its API server; no auditor yet.
    pub fn new(behaviour: apiserver::Options) -> Result<Self> {
        let mut lab = Lab::in_company(&support::helpers(), Company::OfThisProgram)?;
        let api = ApiServer::start(behaviour)?;
        lab.cluster.publish_to(api.store().clone());
        let kubeconfig = api.kubeconfig(lab.dir(), Role::Node)?;
        let options = Options {
            program: support::auditor(),
            backend: support::backend(),
            output: lab.dir().join("out.jsonl"),
            args: [
                "--api-start-jitter",
                "0",
                "--log-level",
                "info,auditor=debug",
            ]
            .map(String::from)
            .to_vec(),
            env: vec![(
                "KUBECONFIG".to_owned(),
                kubeconfig.to_string_lossy().into_owned(),
            )],
            without: Vec::new(),
        };
        Ok(Self {
            lab,
            api,
            auditor: None,
            options,
            health: Vec::new(),
            others: BTreeSet::new(),
        })
    }

    /// More of it for the auditor.
    pub fn environment(&mut self, more: Vec<(String, String)>) {
        self.options.env.extend(more);
    }

    /// Starts the auditor, and returns its `ready`.
    pub fn begin(&mut self) -> Result<Value> {
        let (auditor, ready) = Auditor::start(&self.lab, &self.options)?;
        self.auditor = Some(auditor);
        // Kubernetes' timestamps have whole seconds: a pod made in its first second would seem to be older than it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        thread::sleep(Duration::from_secs(now.as_secs() + 1).saturating_sub(now));
        Ok(ready)
    }

    /// A running pod with a role of its own, by its ServiceAccount's annotation; its role, too.
    pub fn irsa(&mut self, namespace: &str, app: &str) -> Result<(Pod, String)> {
        let (spec, role) = self.annotated(namespace, app)?;

        Ok((self.lab.start(spec)?, role))
    }

    /// The same, but the API server does not tell of it yet.
    pub fn untold(&mut self, namespace: &str, app: &str) -> Result<(Pod, String)> {
        let (spec, role) = self.annotated(namespace, app)?;

        Ok((self.lab.start_unlisted(spec)?, role))
    }

    fn annotated(&mut self, namespace: &str, app: &str) -> Result<(PodSpec, String)> {
        let role = format!("{ROLES}/{namespace}-{app}");
        self.lab.cluster.annotate(namespace, app, &role)?;
        Ok((PodSpec::new(namespace, app).with_irsa(&role), role))
    }

    /// `pod` reads its own IRSA token.
    pub fn open(&mut self, pod: &Pod) -> Result<()> {
        let path = pod.spec.token(IRSA).context("no IRSA token")?.path();
        self.lab.run(pod, &["peek", &path]).map(drop)
    }

    /// Waits for exactly these lines, in whatever order, and returns them.
    pub fn lines(&mut self, expected: Vec<Expected>) -> Result<Vec<Value>> {
        self.lines_within(Duration::from_secs(25), expected)
    }

    pub fn lines_within(&mut self, limit: Duration, expected: Vec<Expected>) -> Result<Vec<Value>> {
        let deadline = Instant::now() + limit * patience();
        let mut tally = Tally::new(expected);
        let mut lines = Vec::new();
        while !tally.complete() && !tally.hopeless() {
            let Some(line) = self.next(deadline)? else {
                break;
            };
            tally.take(&line);
            lines.push(line);
        }
        ensure!(
            tally.exact(),
            "{tally}lines: {}\nhealth: {:?}\n{}",
            Value::Array(lines),
            self.messages(),
            self.auditor()?.log_tail()
        );
        Ok(lines)
    }

    /// No line but of health comes in that time.
    pub fn quiet(&mut self, time: Duration) -> Result<()> {
        match self.next(Instant::now() + time)? {
            None => Ok(()),
            Some(line) => bail!("a line that nothing caused: {line:#}"),
        }
    }

    /// Waits for a health line that says `words`; those that came before count, too.
    pub fn says(&mut self, component: &str, state: &str, words: &[&str]) -> Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(20) * patience();
        let fits = |line: &Value| {
            line["component"] == component
                && line["state"] == state
                && words.iter().all(|word| {
                    line["message"]
                        .as_str()
                        .is_some_and(|message| message.contains(word))
                })
        };
        let mut seen = 0;
        loop {
            if let Some(line) = self.health[seen..].iter().find(|line| fits(line)) {
                return Ok(line.clone());
            }
            seen = self.health.len();
            if self.next_health(deadline)?.is_none() {
                bail!(
                    "no health line {component} {state} with {words:?}; there were {:?}\n{}",
                    self.messages(),
                    self.auditor()?.log_tail()
                );
            }
        }
    }

    fn messages(&self) -> Vec<String> {
        let text = |line: &Value| {
            format!(
                "{} {}: {}",
                line["component"], line["state"], line["message"]
            )
        };
        self.health.iter().map(text).collect()
    }

    /// The next line that is not of health.
    fn next(&mut self, deadline: Instant) -> Result<Option<Value>> {
        while let Some(line) = self.next_of_this_lab(deadline)? {
            if line["event"] != "health" {
                return Ok(Some(line));
            }
            self.health.push(line);
        }
        Ok(None)
    }

    /// A connection's end names nothing but its connect.
    fn is_of_another(&mut self, line: &Value) -> bool {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let is = self.lab.is_of_another(line) || self.others.contains(&text("connect_id"));
        if is {
            self.others.insert(text("id"));
        }
        is
    }

    /// The auditor tells of the whole kernel, so also of what the labs of other tests do meanwhile.
    fn next_of_this_lab(&mut self, deadline: Instant) -> Result<Option<Value>> {
        loop {
            let auditor = self.auditor.as_mut().context("no auditor runs")?;
            let Some(line) = auditor.next(deadline)? else {
                return Ok(None);
            };
            if !self.is_of_another(&line) {
                return Ok(Some(line));
            }
        }
    }

    fn next_health(&mut self, deadline: Instant) -> Result<Option<()>> {
        match self.next_of_this_lab(deadline)? {
            None => Ok(None),
            Some(line) if line["event"] == "health" => {
                self.health.push(line);
                Ok(Some(()))
            }
            Some(line) => bail!("a line where only health was due: {line:#}"),
        }
    }

    fn auditor(&self) -> Result<&Auditor> {
        self.auditor.as_ref().context("no auditor runs")
    }

    /// Waits until the auditor has asked `count` times for what fits.
    pub fn asked(&self, count: usize, fits: impl Fn(&Seen) -> bool) -> Result<Vec<Seen>> {
        let deadline = Instant::now() + Duration::from_secs(20) * patience();
        loop {
            let mut seen = self.api.requests();
            seen.retain(&fits);
            if seen.len() >= count {
                return Ok(seen);
            }
            ensure!(
                Instant::now() < deadline,
                "{} requests, not {count}, among {:#?}",
                seen.len(),
                self.api.requests()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the auditor: no line may be left, its totals must add up, nothing may be lost. Returns all health lines.
    pub fn end(mut self) -> Result<Vec<Value>> {
        let auditor = self.auditor.take().context("no auditor runs")?;
        let rest = auditor.stop()?;
        let (stopped, rest) = rest.split_last().context("no lines at the end")?;
        for line in rest {
            ensure!(
                line["event"] == "health" || self.is_of_another(line),
                "a line that nothing caused: {line:#}"
            );
        }
        let total = |name: &str| stopped[name].as_u64().unwrap_or(u64::MAX);
        let parts = [
            "lines",
            "counted_only",
            "folded",
            "merged",
            "lost",
            "queued",
        ];
        ensure!(
            total("matched") == parts.into_iter().map(total).sum::<u64>(),
            "the totals do not add up: {stopped}"
        );
        ensure!(
            total("lost") == 0 && total("queued") == 0,
            "events were lost: {stopped}"
        );
        let health = rest.iter().filter(|line| line["event"] == "health");
        self.health.extend(health.cloned());
        Ok(self.health)
    }
}

/// `pod` opened its own IRSA token, as it may.
pub fn allowed(pod: &Pod, role: &str) -> Expected {
    Expected::own_open(pod, IRSA).bound("irsa", role)
}

/// `pod` opened its own token, and nobody has told of it. What node and kernel know is there: a volume's owner by its UID.
pub fn unknown(pod: &Pod) -> Expected {
    let open = Expected::own_open(pod, IRSA)
        .whatever("container")
        .whatever("audience")
        .judged("undetermined", "");
    open.with(&[
        ("undetermined", "pod"),
        ("pod", "null"),
        ("service_account", "null"),
        ("kind", "unknown"),
        ("owner", "null"),
        ("owner_uid", &pod.spec.uid),
        ("binding", "null"),
    ])
}

pub fn is_watch(seen: &Seen, plural: &str) -> bool {
    seen.path.ends_with(plural)
        && (seen.query.contains("watch=true") || seen.query.contains("watch=1"))
}
