//! What happens during a soak. One thread plays it, beside the pods that open at a steady pace.

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Sample, Soak};
use crate::{
    measure::{
        flood::{Request, ask, monotonic},
        flooder, own_token,
        stream::Stream,
        usage,
    },
    node::{Lab, Pod, PodSpec, cluster::ROLES, pod::POD_IDENTITY},
};

/// ServiceAccount of the pods that come and go.
pub const BRIEF: &str = "brief";
const HOST_KUBELET: &str = "/host/kubelet";
/// Pods that stay.
const STEADY: usize = 4;
/// Opens a second of each of them.
const PACE: f64 = 25.0;
const STEP: Duration = Duration::from_millis(200);
/// Every so many steps.
const THEFT: u64 = 10;
const CHURN: u64 = 25;
const REWRITE: u64 = 50;
const SLEEPY: u64 = 200;
/// How long the reader sleeps, and how many opens it sleeps through.
const SLEEP: Duration = Duration::from_secs(3);
const BURST: u64 = 5_000;
/// After the auditor's start, before the first sample counts.
const WARM_UP: Duration = Duration::from_secs(5);

/// What was done, to be held against what was written.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Done {
    /// Of a pod's own token.
    pub opens: u64,
    /// The same by the pod's ServiceAccount.
    pub opens_by: BTreeMap<String, u64>,
    pub thefts: u64,
    /// To the agent, each with an own open.
    pub connects: u64,
    /// Pods that came and went.
    pub churned: u64,
    pub policies: u64,
    pub clusters: u64,
    pub sleeps: u64,
}

impl Done {
    fn opened(&mut self, by: &Pod, count: u64) {
        self.opens += count;
        let of = by.spec.service_account.clone();
        *self.opens_by.entry(of).or_default() += count;
    }
}

pub struct Cast {
    /// Each opens its token at a steady pace.
    steady: Vec<Pod>,
    /// Opens much at once, now and then.
    noisy: Pod,
    /// Its SDK gets credentials.
    client: Pod,
    pub thief: Pod,
}

impl Cast {
    pub fn start(lab: &mut Lab) -> Result<Self> {
        lab.start_agent()?;
        let mut steady = Vec::new();
        for index in 0..STEADY {
            steady.push(flooder(lab, "soak", &format!("steady-{index}"))?);
        }
        let noisy = flooder(lab, "soak", "noisy")?;
        lab.cluster
            .associate("soak", "client", &format!("{ROLES}/client"))?;
        let client = lab.start(PodSpec::new("soak", "client").with_pod_identity())?;
        let spec = PodSpec::new("shop", "thief").with_host_path(&lab.kubelet_root(), HOST_KUBELET);
        let thief = lab.start(spec)?;
        lab.cluster
            .associate("soak", BRIEF, &format!("{ROLES}/{BRIEF}"))?;
        Ok(Self {
            steady,
            noisy,
            client,
            thief,
        })
    }
}

/// Until the time is over; what was done, and a sample each interval.
pub fn play(
    soak: &Soak,
    lab: &mut Lab,
    cast: &mut Cast,
    stream: &mut Stream,
) -> Result<(Done, Vec<Sample>)> {
    let mut done = Done::default();
    let mut samples = Vec::new();
    let begun = Instant::now();
    for pod in &cast.steady {
        let request = Request::Paced {
            programs: vec!["flood".into()],
            path: own_token(pod),
            rate: PACE,
            at: monotonic() + 100_000_000,
            seconds: soak.length.as_secs_f64(),
        };
        ask(lab, pod, &request)?;
    }
    let mut last = (Instant::now(), usage::processor(stream.pid())?);
    let mut next_sample = begun + WARM_UP;
    for step in 0_u64.. {
        if begun.elapsed() >= soak.length {
            break;
        }
        let step_begun = Instant::now();
        act(step, lab, cast, stream, &mut done).with_context(|| format!("step {step}"))?;
        if step_begun >= next_sample {
            next_sample = step_begun + soak.interval;
            let usage = usage::of(stream.pid())?;
            let took = usage.processor.saturating_sub(last.1);
            samples.push(Sample {
                seconds: begun.elapsed().as_secs_f64(),
                resident: usage.resident,
                descriptors: usage.descriptors,
                threads: usage.threads,
                cores: took.as_secs_f64() / last.0.elapsed().as_secs_f64(),
            });
            last = (Instant::now(), usage.processor);
        }
        if step % 300 == 299 {
            tell(&begun, &done, &samples, stream);
        }
        thread::sleep(STEP.saturating_sub(step_begun.elapsed()));
    }
    for pod in &cast.steady {
        let opens = ask(lab, pod, &Request::Join)?.opens;
        done.opened(pod, opens);
    }
    // What it opened is counted already.
    ask(lab, &cast.noisy, &Request::Join)?;
    Ok((done, samples))
}

fn act(step: u64, lab: &mut Lab, cast: &Cast, stream: &Stream, done: &mut Done) -> Result<()> {
    lab.run(&cast.client, &["sdk"])?;
    done.opened(&cast.client, 1);
    done.connects += 1;
    if step % THEFT == 3 {
        let of = step as usize / THEFT as usize % cast.steady.len();
        let victim = cast.steady.get(of).context("no pod to steal from")?;
        steal(lab, cast, victim, done)?;
    }
    if step % CHURN == 7 {
        let brief = lab.start(PodSpec::daemon("soak", BRIEF).with_pod_identity())?;
        lab.run(&brief, &["peek", &own_token(&brief)])?;
        done.opened(&brief, 1);
        if step % (2 * CHURN) == 7 {
            steal(lab, cast, &brief, done)?;
        }
        lab.retire(&brief)?;
        done.churned += 1;
    }
    if step % REWRITE == 11 {
        let days = 30 + done.policies % 2;
        lab.set_policy(&format!("unused_after: {days}d\n"))?;
        done.policies += 1;
        match done.clusters % 2 {
            0 => lab
                .cluster
                .associate("soak", "spare", &format!("{ROLES}/spare"))?,
            _ => lab.cluster.dissociate("soak", "spare")?,
        }
        done.clusters += 1;
    }
    if step % SLEEPY == 150 {
        stream.sleep_reader(SLEEP);
        let victim = cast.steady.first().context("no pod to steal from")?;
        let path = own_token(&cast.noisy);
        let count = BURST;
        ask(lab, &cast.noisy, &Request::Open { path, count })?;
        steal(lab, cast, victim, done)?;
        done.sleeps += 1;
        done.opened(&cast.noisy, BURST);
    }
    Ok(())
}

fn steal(lab: &mut Lab, cast: &Cast, victim: &Pod, done: &mut Done) -> Result<()> {
    let path = victim.token_below(Path::new(HOST_KUBELET), POD_IDENTITY);
    lab.run(&cast.thief, &["peek", &path.to_string_lossy()])?;
    done.thefts += 1;
    Ok(())
}

fn tell(begun: &Instant, done: &Done, samples: &[Sample], stream: &Stream) {
    let resident = samples.last().map_or(0.0, |sample| sample.resident);
    let seen = stream.seen();
    eprintln!(
        "{:.0} s: {} own opens by scenes, {} thefts, {} connects, {} pods came and went; {} lines, {} lost; {resident:.1} MiB",
        begun.elapsed().as_secs_f64(),
        done.opens,
        done.thefts,
        done.connects,
        done.churned,
        seen.lines,
        seen.lost,
    );
}
