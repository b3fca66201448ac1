//! Detection Finding: what the rules made of a line, beside the activity that the line is.

use serde_json::{Value, json};

use super::{
    attack,
    class::{FINDING_CLOSE, FINDING_CREATE, Level, Status},
    event::{Activity, Judged, product},
    shape::members,
};
use crate::event::{
    Binding, Body, Finding, Line, OwnerRef, PodRef, Posture, PostureState, PostureSubject,
    Severity, Verdict, word,
};

const NEW: Status = Status(1, "New");
const SUPPRESSED: Status = Status(3, "Suppressed");
const RESOLVED: Status = Status(4, "Resolved");

/// Attributes of an activity that are evidence of what was detected.
const EVIDENCE: [&str; 5] = [
    "file",
    "process",
    "src_endpoint",
    "dst_endpoint",
    "connection_info",
];

pub(super) struct Detection;

impl Detection {
    /// None where no rule fired.
    pub fn of<'a>(line: &'a Line, activity: &Activity<'a>) -> Option<Activity<'a>> {
        let judged = activity.judged?;
        let gravest = judged.gravest()?;
        let mut finding = new(FINDING_CREATE, judged, gravest);
        let doing = activity.doing;
        let mut info = info(&line.id, judged, gravest);
        info["related_events"] = json!([{
            "uid": line.id,
            "type_uid": doing.class.uid * 100 + doing.id,
        }]);
        let parts = members(activity.attributes.clone());
        let evidence = EVIDENCE.iter().filter_map(|name| {
            let part = parts.get(*name)?;
            Some(((*name).to_owned(), part.clone()))
        });
        finding.attributes = json!({
            "finding_info": info,
            "actor": parts.get("actor"),
            "evidences": [evidence.collect::<serde_json::Map<_, _>>()],
            "resources": resources(line, &Touched::of(&line.body)),
            "is_alert": is_alert(gravest, judged.verdict),
            "action_id": 3,
            "action": "Observed",
            "disposition_id": 15,
            "disposition": "Detected",
        });
        finding.unmapped = activity.unmapped.clone();
        finding.correlation = activity.correlation;
        Some(finding)
    }
}

/// A state that was raised or cleared: the same `finding_info.uid` both times.
pub(super) fn posture<'a>(line: &'a Line, posture: &'a Posture) -> Activity<'a> {
    let Posture {
        state,
        subject,
        findings,
        binding,
        evidence,
    } = posture;
    let judged = Judged {
        verdict: verdict(findings),
        undetermined: &[],
        findings,
    };
    let Some(gravest) = judged.gravest() else {
        // No such line is written.
        let mut none = Activity::judged(FINDING_CREATE, judged, "no finding".to_owned());
        none.attributes = json!({"finding_info": {"uid": line.id, "title": "no finding"}});
        return none;
    };
    let raised = *state == PostureState::Raised;
    let doing = if raised {
        FINDING_CREATE
    } else {
        FINDING_CLOSE
    };
    let mut finding = new(doing, judged, gravest);
    if !raised {
        finding.status = Some(RESOLVED);
    }
    let PostureSubject {
        kind,
        namespace,
        name,
        uid,
        service_account: _,
    } = subject;
    let cluster = line.cluster.as_deref().unwrap_or_default();
    let id = word(&gravest.id);
    let unique = format!(
        "{cluster}/{kind}/{namespace}/{name}/{}/{id}",
        uid.as_deref().unwrap_or_default()
    );
    let mut resources = resources(
        line,
        &Touched {
            binding: binding.as_ref(),
            ..Touched::default()
        },
    );
    resources.push(json!({
        "type": match kind.as_str() {
            "pod" => "Pod",
            "service-account" => "ServiceAccount",
            other => other,
        },
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "role_id": 3,
        "role": "Affected",
    }));
    finding.attributes = json!({
        "finding_info": info(&unique, judged, gravest),
        "resources": resources,
        "is_alert": raised && is_alert(gravest, judged.verdict),
        "action_id": 3,
        "action": "Observed",
        "disposition_id": 15,
        "disposition": "Detected",
    });
    // The line has no verdict.
    finding.judged = None;
    finding.unmapped = json!({
        "state": state,
        "subject": subject,
        "findings": findings,
        "binding": binding,
        "evidence": evidence,
    });
    finding
}

fn new<'a>(doing: super::class::Doing, judged: Judged<'a>, gravest: &'a Finding) -> Activity<'a> {
    let mut finding = Activity::judged(doing, judged, String::new());
    finding.level = Level::from(gravest.severity);
    finding.status = Some(match gravest.exempted_by {
        None => NEW,
        Some(_) => SUPPRESSED,
    });
    finding
}

/// Somebody should look. What is merely worth knowing, and what policy exempts, is not.
fn is_alert(gravest: &Finding, verdict: Verdict) -> bool {
    let counts = gravest.exempted_by.is_none() && gravest.severity > Severity::Info;
    counts || verdict == Verdict::Violation
}

/// As the contract has it for lines that have one.
fn verdict(findings: &[Finding]) -> Verdict {
    let counting = findings.iter().filter(|f| f.exempted_by.is_none());
    match counting.map(|f| f.severity).max() {
        Some(Severity::High | Severity::Critical) => Verdict::Violation,
        Some(Severity::Medium) => Verdict::Suspicious,
        Some(Severity::Info) | None => Verdict::Allowed,
    }
}

fn info(uid: &str, judged: Judged, gravest: &Finding) -> Value {
    let others = judged.findings.iter().filter(|f| f.id != gravest.id);
    let mut attacks: Vec<_> = judged
        .findings
        .iter()
        .filter_map(|f| attack::technique(f.id))
        .collect();
    attacks.dedup();
    json!({
        "uid": uid,
        "title": word(&gravest.id),
        "types": ["Credential Access"],
        "product": product(),
        "analytic": analytic(gravest),
        "related_analytics": others.map(analytic).collect::<Vec<_>>(),
        "attacks": attacks,
    })
}

fn analytic(finding: &Finding) -> Value {
    let id = word(&finding.id);
    json!({"type_id": 1, "type": "Rule", "uid": id, "name": id})
}

/// Whose things were touched, and by whom.
#[derive(Default)]
struct Touched<'a> {
    actor: Option<&'a PodRef>,
    owner: Option<&'a OwnerRef>,
    target: Option<&'a PodRef>,
    binding: Option<&'a Binding>,
}

impl<'a> Touched<'a> {
    fn of(body: &'a Body) -> Self {
        let (mut owner, mut target) = (None, None);
        let (actor, binding) = match body {
            Body::TokenOpen(open) => {
                owner = open.token.owner.as_ref();
                (&open.pod, &open.binding)
            }
            Body::TokenReceived(received) => {
                let of_token = received.token.as_ref().and_then(|t| t.owner.as_ref());
                let of_connection = received.connection.as_ref().and_then(|c| c.owner.as_ref());
                owner = of_token.or(of_connection);
                (&received.pod, &received.binding)
            }
            Body::CredentialConnect(connect) => (&connect.pod, &connect.binding),
            Body::AgentAccept(accept) => {
                target = accept.listener.as_ref();
                (&accept.pod, &accept.binding)
            }
            Body::MemoryAccess(access) => {
                target = access.target.pod.as_ref();
                (&access.pod, &access.binding)
            }
            Body::ConnectionClosed(closed) => (&closed.pod, &None),
            Body::Listen(listen) => (&listen.pod, &None),
            Body::SocketCreate(create) => (&create.pod, &None),
            Body::Posture(_)
            | Body::Ready(_)
            | Body::Stopped(_)
            | Body::Summary(_)
            | Body::Loss(_)
            | Body::Health(_) => (&None, &None),
        };
        Self {
            actor: actor.as_ref(),
            owner,
            target,
            binding: binding.as_ref(),
        }
    }
}

/// `resources`: pods, ServiceAccounts, the role and the cluster, each with its part in this.
fn resources(line: &Line, touched: &Touched) -> Vec<Value> {
    const TARGET: (u32, &str) = (1, "Target");
    const ACTOR: (u32, &str) = (2, "Actor");
    const AFFECTED: (u32, &str) = (3, "Affected");
    const RELATED: (u32, &str) = (4, "Related");
    let mut resources = Vec::new();
    let mut add = |kind: &str,
                   namespace: Option<&str>,
                   name: Option<&str>,
                   uid: Option<&str>,
                   role: (u32, &str)| {
        if name.or(uid).is_some() {
            resources.push(json!({
                "type": kind,
                "namespace": namespace,
                "name": name,
                "uid": uid,
                "role_id": role.0,
                "role": role.1,
            }));
        }
    };
    if let Some(owner) = touched.owner {
        let namespace = owner.namespace.as_deref();
        add(
            "Pod",
            namespace,
            owner.name.as_deref(),
            Some(&owner.uid),
            TARGET,
        );
        add(
            "ServiceAccount",
            namespace,
            owner.service_account.as_deref(),
            None,
            TARGET,
        );
    }
    for (pod, role) in [(touched.target, TARGET), (touched.actor, ACTOR)] {
        if let Some(pod) = pod {
            let namespace = Some(&*pod.namespace);
            add("Pod", namespace, Some(&pod.name), Some(&pod.uid), role);
            let uid = pod.service_account_uid.as_deref();
            add(
                "ServiceAccount",
                namespace,
                Some(&pod.service_account),
                uid,
                role,
            );
        }
    }
    let role = touched
        .binding
        .and_then(|binding| binding.role_arn.as_deref());
    add("AWS::IAM::Role", None, None, role, AFFECTED);
    add(
        "AWS::EKS::Cluster",
        None,
        line.cluster.as_deref(),
        None,
        RELATED,
    );
    resources
}
