//! Descriptors that arrive, and what was open before the auditor came.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Scene, Stage, associated, host_path_of, token_path, with_host_kubelet};
use crate::{
    auditor::{self, Auditor},
    expect::{Expected, Tally},
    node::{Pod, PodSpec, pod::POD_IDENTITY},
    patience,
    service::agent::V4,
};

const HOOK: &str = "descriptor_received";
const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";
const RECEIVED: &str = "foreign-token-received:critical";
/// Where pods that share the inbox see it.
const INBOX: &str = "/inbox";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "received-by-message",
        about: "payments/purse sends its token's descriptor to shop/fence through a socket in a shared directory",
        play: |stage| {
            let socket = socket("purse");
            let (victim, role) = sharing(stage, "payments", "purse")?;
            let thief = receiver(stage, "fence", &socket)?;
            let token = token_path(&victim, POD_IDENTITY);
            stage.lab.run(&victim, &["hand", "send", &socket, &token])?;
            stage.lab.tell(&thief, "\"take\"")?;
            let arrived =
                Expected::received(&thief, &victim, POD_IDENTITY, "other-pod", "scm_rights")
                    .bound("pod-identity", &role)
                    .with(&[("comm", "hand")]);
            Ok(with_arrival(
                stage,
                vec![own(&victim, &role, "hand")],
                arrived.judged("violation", RECEIVED),
            ))
        },
    },
    Scene {
        name: "received-by-host",
        about: "payments/till sends its token's descriptor to a process outside every pod",
        play: |stage| {
            let name = socket("till");
            let (victim, role) = sharing(stage, "payments", "till")?;
            let on_host = stage.lab.inbox().join("till");
            let program = stage.lab.helpers().join("hand");
            let mut command = stage.lab.command("system.slice/ssh.service", &program)?;
            command.arg("receive").arg(&on_host);
            let mut thief = crate::wire::Worker::spawn("hand", command)?;
            let _: usize = thief.call(&"ready")?;
            let token = token_path(&victim, POD_IDENTITY);
            stage.lab.run(&victim, &["hand", "send", &name, &token])?;
            let _: usize = thief.call(&"take")?;
            let arrived = Expected::received(&victim, &victim, POD_IDENTITY, "host", "scm_rights")
                .bound("pod-identity", &role)
                .with(&[
                    ("pod", "null"),
                    ("service_account", "null"),
                    ("container", "null"),
                    ("attribution", "host"),
                    ("host_namespaces", "true"),
                    ("exec_session", "null"),
                    ("comm", "hand"),
                ]);
            Ok(with_arrival(
                stage,
                vec![own(&victim, &role, "hand")],
                arrived.judged("violation", RECEIVED),
            ))
        },
    },
    Scene {
        name: "received-by-pidfd",
        about: "ops/lift (hostPID) takes the descriptor that payments/safe has of its token, with pidfd_getfd",
        play: |stage| {
            let (victim, role) = holding(stage, "payments", "safe")?;
            let descriptor = stage.lab.tell(&victim, "\"which\"")?;
            let mut spec = PodSpec::new("ops", "lift");
            spec.host_pid = true;
            let thief = stage.lab.start(spec)?;
            let (pid, fd) = (victim.init_pid.to_string(), descriptor.to_string());
            stage.lab.run(&thief, &["hand", "take", &pid, &fd])?;
            let arrived =
                Expected::received(&thief, &victim, POD_IDENTITY, "other-pod", "pidfd_getfd")
                    .bound("pod-identity", &role)
                    .with(&[("comm", "hand"), ("from", &victim.key())]);
            // It asks whether it may look into that process, which is one of a pod with a token.
            let asked = Expected::memory_access(&thief, &victim, "other-pod", "attach-real-creds")
                .bound("pod-identity", &role)
                .with(&[("comm", "hand"), ("target_comm", "hand")])
                .judged("violation", "credential-memory-access:high");
            let mut expected = vec![own(&victim, &role, "hand")];
            if stage.watches("memory_access") {
                expected.push(asked);
            }
            Ok(with_arrival(
                stage,
                expected,
                arrived.judged("violation", RECEIVED),
            ))
        },
    },
    Scene {
        name: "received-by-seccomp",
        about: "payments/lock answers a system call of shop/pick by putting its token's descriptor into it",
        play: |stage| {
            let socket = socket("lock");
            let token = PodSpec::new("payments", "lock")
                .with_pod_identity()
                .token(POD_IDENTITY)
                .map(crate::node::pod::TokenVolume::path)
                .unwrap_or_default();
            let argv = ["addfd", "supervise", &socket, &token];
            let (victim, role) = with_init(stage, "payments", "lock", &argv)?;
            stage.lab.tell(&victim, "\"ready\"")?;
            let inbox = stage.lab.inbox();
            let spec = PodSpec::new("shop", "pick").with_host_path(&inbox, INBOX);
            let thief = stage.lab.start(spec)?;
            stage.lab.run(&thief, &["addfd", "ask", &socket])?;
            let arrived =
                Expected::received(&thief, &victim, POD_IDENTITY, "other-pod", "seccomp_addfd")
                    .bound("pod-identity", &role)
                    .with(&[("comm", "addfd")]);
            Ok(with_arrival(
                stage,
                vec![own(&victim, &role, "addfd")],
                arrived.judged("violation", RECEIVED),
            ))
        },
    },
    Scene {
        name: "connection-received",
        about: "payments/wire connects to the agent and hands that connection to shop/tap",
        play: |stage| {
            let socket = socket("wire");
            let (victim, role) = sharing(stage, "payments", "wire")?;
            let thief = receiver(stage, "tap", &socket)?;
            let token = token_path(&victim, POD_IDENTITY);
            let command = ["hand", "send-connection", &socket, ADDRESS, &token];
            stage.lab.run(&victim, &command)?;
            stage.lab.tell(&thief, "\"take\"")?;
            let arrived = Expected::received_connection(&thief, &victim, AGENT, ADDRESS)
                .bound("pod-identity", &role)
                .with(&[("comm", "hand"), ("connect_id", "true")]);
            Ok(with_arrival(
                stage,
                vec![
                    own(&victim, &role, "hand"),
                    Expected::connect(&victim, AGENT, V4)
                        .bound("pod-identity", &role)
                        .with(&[("comm", "hand")]),
                    Expected::closed(&victim, AGENT, V4),
                ],
                arrived.judged("violation", RECEIVED),
            ))
        },
    },
    Scene {
        name: "received-within-pod",
        about: "one process of shop/relay hands its pod's token's descriptor to another: nothing but the open",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "relay")?;
            let token = token_path(&pod, POD_IDENTITY);
            stage.lab.run(&pod, &["hand", "within", &token])?;
            stage.skipped = lacks(stage);
            Ok(vec![own(&pod, &role, "hand")])
        },
    },
    Scene {
        name: "held-since-before",
        about: "shop/hoard has payments/chest's token open when an auditor starts, shop/attic has it mapped, payments/keep its own: two lines",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "chest")?;
            let (keeper, keeper_role) = holding(stage, "payments", "keep")?;
            let mut thefts = Vec::new();
            let mut found = Vec::new();
            for (app, how, via) in [("hoard", "hold", "held"), ("attic", "map", "mapped")] {
                let mut spec = PodSpec::new("shop", app);
                spec.argv = ["hand", how, &host_path_of(&victim)].map(Into::into).into();
                let thief = with_host_kubelet(&mut stage.lab, spec)?;
                stage.lab.tell(&thief, "\"ready\"")?;
                let theft = Expected::foreign_open(&thief, &victim, POD_IDENTITY, "other-pod")
                    .bound("pod-identity", &role)
                    .with(&[("comm", "hand")])
                    .judged("violation", "foreign-token-open:critical");
                found.push(theft.clone().with(&[("via", via)]));
                thefts.push(theft);
            }
            stage.lab.tell(&keeper, "\"which\"")?;
            later_auditor(stage, found)?;
            thefts.push(own(&keeper, &keeper_role, "hand"));
            Ok(thefts)
        },
    },
];

fn socket(name: &str) -> String {
    format!("{INBOX}/{name}")
}

fn own(pod: &Pod, role: &str, comm: &str) -> Expected {
    Expected::own_open(pod, POD_IDENTITY)
        .bound("pod-identity", role)
        .with(&[("comm", comm)])
}

/// Why what arrives is not seen on this machine, or that it is.
fn lacks(stage: &Stage) -> Option<String> {
    let why = "no way to watch descriptors that arrive works here";
    (!stage.watches(HOOK)).then(|| why.to_owned())
}

/// What must be told, and what must be where descriptors that arrive are seen.
fn with_arrival(stage: &mut Stage, told: Vec<Expected>, arrived: Expected) -> Vec<Expected> {
    stage.skipped = lacks(stage);
    let arrived = stage.skipped.is_none().then_some(arrived);
    told.into_iter().chain(arrived).collect()
}

/// An associated pod that sees the inbox.
fn sharing(stage: &mut Stage, namespace: &str, app: &str) -> Result<(Pod, String)> {
    with_init(stage, namespace, app, &["pause"])
}

/// An associated pod whose init has its token open.
fn holding(stage: &mut Stage, namespace: &str, app: &str) -> Result<(Pod, String)> {
    let spec = PodSpec::new(namespace, app).with_pod_identity();
    let token = spec.token(POD_IDENTITY).map(|token| token.path());
    let token = token.unwrap_or_default();
    with_init(stage, namespace, app, &["hand", "hold", &token])
}

fn with_init(
    stage: &mut Stage,
    namespace: &str,
    app: &str,
    argv: &[&str],
) -> Result<(Pod, String)> {
    let role = super::associate(&mut stage.lab, namespace, app)?;
    let inbox = stage.lab.inbox();
    let mut spec = PodSpec::new(namespace, app)
        .with_pod_identity()
        .with_host_path(&inbox, INBOX);
    spec.argv = argv.iter().map(|&arg| arg.to_owned()).collect();
    Ok((stage.lab.start(spec)?, role))
}

/// `shop/app`, which listens on `socket`.
fn receiver(stage: &mut Stage, app: &str, socket: &str) -> Result<Pod> {
    let inbox = stage.lab.inbox();
    let mut spec = PodSpec::new("shop", app).with_host_path(&inbox, INBOX);
    spec.argv = ["hand", "receive", socket].map(Into::into).into();
    let pod = stage.lab.start(spec)?;
    stage.lab.tell(&pod, "\"ready\"")?;
    Ok(pod)
}

/// A second auditor starts, finds exactly this, and stops.
fn later_auditor(stage: &Stage, expected: Vec<Expected>) -> Result<()> {
    let Some(options) = &stage.auditor else {
        return Ok(());
    };
    let mut options = options.clone();
    options.output = options.output.with_extension("later.jsonl");
    let flags = auditor::flags(&stage.lab);
    // The state directory is the other's.
    let flags: Vec<String> = flags
        .chunks(2)
        .filter(|flag| flag.first().is_none_or(|name| name != "--state-dir"))
        .flatten()
        .cloned()
        .collect();
    let (mut auditor, ready) = Auditor::start_with(&stage.lab, &options, &flags, &[])?;
    let by = ready["backends"]["open_before"]["backend"].clone();
    let mut tally = Tally::new(expected);
    let deadline = Instant::now() + Duration::from_secs(6) * patience();
    while !tally.complete() && !tally.hopeless() {
        match auditor.next(deadline)? {
            Some(line) => tally.take(&line),
            None => break,
        }
    }
    let lines = auditor.stop()?;
    let (stopped, rest) = lines.split_last().context("no last line")?;
    rest.iter().for_each(|line| tally.take(line));
    ensure!(tally.exact(), "the later auditor (by {by}):\n{tally}");
    let total = |name: &str| stopped[name].as_u64().unwrap_or_default();
    let told = ["lines", "counted_only", "merged", "lost", "queued"].map(total);
    ensure!(
        total("matched") == told.iter().sum::<u64>() && total("lost") == 0,
        "the later auditor's totals do not add up: {stopped}"
    );
    // The owner's own is found too.
    ensure!(total("counted_only") > 0, "only one was found: {stopped}");
    Ok(())
}
