//! What every event has: who says it, where, when, and how it hangs together with the others.

use serde_json::{Value, json};

use super::{
    VERSION,
    class::{DETECTION, Doing, INFORMATIONAL, LOW, Level, Status},
    shape::{merge, prune},
};
use crate::event::{Body, Finding, Line, Verdict};

/// OCSF's extension for Linux is versioned with the schema.
const LINUX_USERS: &str = "linux/linux_users";

/// What is particular to one event.
#[derive(Debug)]
pub(super) struct Activity<'a> {
    pub doing: Doing,
    pub level: Level,
    pub status: Option<Status>,
    /// One sentence.
    pub message: String,
    /// Attributes of the class.
    pub attributes: Value,
    /// What the class has no attributes for, under our names.
    pub unmapped: Value,
    /// `unmapped` of a line that was judged.
    pub judged: Option<Judged<'a>>,
    /// The id of the line that this one goes on.
    pub correlation: Option<&'a str>,
}

/// The judgement of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a> {
    pub verdict: Verdict,
    pub undetermined: &'a [String],
    pub findings: &'a [Finding],
}

impl<'a> Judged<'a> {
    /// The gravest that is not exempted, else the gravest; of equals the first.
    pub fn gravest(&self) -> Option<&'a Finding> {
        let rank = |finding: &Finding| (finding.exempted_by.is_none(), finding.severity);
        // max_by_key takes the last of equals.
        self.findings.iter().rev().max_by_key(|f| rank(f))
    }

    /// Of the gravest that counts; what could not be judged is a little more than nothing.
    pub fn level(&self) -> Level {
        let counting = self.findings.iter().filter(|f| f.exempted_by.is_none());
        let found = counting.map(|f| Level::from(f.severity)).max();
        let unjudged = (self.verdict == Verdict::Undetermined).then_some(LOW);
        found.max(unjudged).unwrap_or(INFORMATIONAL)
    }

    fn unmapped(&self) -> Value {
        let Self {
            verdict,
            undetermined,
            findings,
        } = self;
        json!({"verdict": verdict, "undetermined": undetermined, "findings": findings})
    }
}

impl<'a> Activity<'a> {
    /// A line that was judged; its message is that of its gravest finding, if it has any, else `message`.
    pub fn judged(doing: Doing, judged: Judged<'a>, message: String) -> Self {
        Self {
            doing,
            level: judged.level(),
            status: None,
            message: judged.gravest().map_or(message, |f| f.message.clone()),
            attributes: json!({}),
            unmapped: json!({}),
            judged: Some(judged),
            correlation: None,
        }
    }

    /// The auditor's own words.
    pub fn own(doing: Doing, level: Level, message: String) -> Self {
        Self {
            doing,
            level,
            status: None,
            message,
            attributes: json!({}),
            unmapped: json!({}),
            judged: None,
            correlation: None,
        }
    }
}

pub(super) fn write(line: &Line, untruncated: Option<usize>, activity: Activity) -> Value {
    let Line {
        schema: _,
        id: _,
        run_id,
        seq: _,
        time,
        cluster,
        account,
        region,
        node,
        instance_id,
        body: _,
    } = line;
    let Activity {
        doing,
        level,
        status,
        message,
        attributes,
        mut unmapped,
        judged,
        correlation,
    } = activity;
    merge(&mut unmapped, json!({"run_id": run_id, "cluster": cluster}));
    if let Some(judged) = judged {
        merge(&mut unmapped, judged.unmapped());
    }
    let Doing { class, id, name } = doing;
    let mut event = json!({
        "category_uid": class.category.uid,
        "category_name": class.category.name,
        "class_uid": class.uid,
        "class_name": class.name,
        "activity_id": id,
        "activity_name": name,
        "type_uid": class.uid * 100 + id,
        "type_name": type_name(doing),
        "severity_id": level.0,
        "severity": level.1,
        "status_id": status.map(|Status(id, _)| id),
        "status": status.map(|Status(_, caption)| caption),
        "time": time.as_millisecond(),
        "message": message,
        "cloud": {
            "provider": "AWS",
            "region": region,
            "account": account.as_ref().map(|uid| json!({
                "uid": uid,
                "type_id": 10,
                "type": "AWS Account",
            })),
        },
        "device": {
            "type_id": 1,
            "type": "Server",
            "hostname": node,
            "instance_uid": instance_id,
            "uid": instance_id,
            "region": region,
            "os": {"name": "Linux", "type_id": 200, "type": "Linux"},
        },
        "unmapped": unmapped,
    });
    merge(&mut event, attributes);
    event["metadata"] = metadata(
        line,
        doing,
        untruncated,
        correlation,
        uses_linux_users(line),
    );
    prune(&mut event);
    event
}

/// As the schema's captions of `type_uid` read: 99 is `Other` there, whatever we call it.
fn type_name(Doing { class, id, name }: Doing) -> String {
    let name = if id == 99 { "Other" } else { name };
    format!("{}: {name}", class.name)
}

fn metadata(
    line: &Line,
    doing: Doing,
    untruncated: Option<usize>,
    correlation: Option<&str>,
    linux_users: bool,
) -> Value {
    let is_detection = doing.class == DETECTION;
    let is_second = is_detection && !matches!(line.body, Body::Posture(_));
    let mut profiles = vec!["cloud", "container", "host"];
    if linux_users {
        profiles.push(LINUX_USERS);
    }
    if is_detection {
        profiles.push("security_control");
    }
    json!({
        "version": VERSION,
        "product": product(),
        "profiles": profiles,
        "extensions": linux_users.then(|| [json!({"name": "linux", "uid": "1", "version": VERSION})]),
        // An id is one event's alone, and a line may be two.
        "uid": if is_second { format!("{}-finding", line.id) } else { line.id.clone() },
        "original_event_uid": line.id,
        "correlation_uid": correlation.unwrap_or(&line.id),
        "sequence": line.seq,
        "original_time": line.time.to_string(),
        "event_code": line.body.event(),
        "log_version": line.schema,
        "is_truncated": untruncated.map(|_| true),
        // In kilobytes, says the schema.
        "untruncated_size": untruncated.map(|bytes| bytes.div_ceil(1000)),
    })
}

/// Who writes the events.
pub(super) fn product() -> Value {
    json!({
        "name": "EKS Credential Auditor",
        "uid": "eks-credential-auditor",
        "vendor_name": "EKS Credential Auditor",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Whether it describes a process, with its group and audit user.
fn uses_linux_users(line: &Line) -> bool {
    match &line.body {
        Body::TokenOpen(_)
        | Body::CredentialConnect(_)
        | Body::Listen(_)
        | Body::TokenReceived(_)
        | Body::MemoryAccess(_)
        | Body::SocketCreate(_) => true,
        Body::Ready(_)
        | Body::Stopped(_)
        | Body::ConnectionClosed(_)
        | Body::AgentAccept(_)
        | Body::Posture(_)
        | Body::Summary(_)
        | Body::Loss(_)
        | Body::Health(_) => false,
    }
}
