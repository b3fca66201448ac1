//! What flood control folded: an event of the class that each would have been, with how many they were.

use serde_json::{Value, json};

use super::{
    class::{
        BASE, Class, Doing, FILE, FILE_OPEN, INFORMATIONAL, MEDIUM, NETWORK, NETWORK_CLOSE,
        NETWORK_OPEN, other,
    },
    event::Activity,
    network, subject,
};
use crate::event::Summary;

pub(super) fn summary(summary: &Summary) -> Activity<'_> {
    let Summary {
        of,
        count,
        total: _,
        first,
        last,
        stranger,
        relation: _,
        exec_session: _,
        cgroup_id,
        pod,
        exe_inode: _,
        token,
        endpoint,
    } = summary;
    let doing = doing(of.as_deref());
    let what = of.as_deref().unwrap_or("unknown kind");
    let message = format!("{count} events of {what} were folded into one");
    // A pod's own flood is no news.
    let level = if *stranger { MEDIUM } else { INFORMATIONAL };
    let mut activity = Activity::own(doing, level, message);
    let cgroup = cgroup_id.map(|id| format!("cgroup:{id}"));
    let mut attributes = json!({
        "count": count,
        "start_time": first.as_millisecond(),
        "end_time": last.as_millisecond(),
        "actor": {
            // Processes may be several; that is what they have in common.
            "app_uid": cgroup.as_deref().unwrap_or("cgroup:unknown"),
            "user": pod.as_ref().map(subject::service_account),
        },
    });
    if doing.class == FILE {
        let volume = token.as_ref().and_then(|token| token.volume.as_deref());
        let owner = token.as_ref().and_then(|token| token.owner.as_ref());
        attributes["file"] = json!({
            "name": volume.unwrap_or("unknown"),
            "volume": volume,
            "type_id": 2,
            "type": "Folder",
            "owner": owner.and_then(subject::owner),
        });
    }
    if doing.class == NETWORK {
        attributes["src_endpoint"] = source(summary, cgroup.as_deref());
        attributes["dst_endpoint"] = json!({"svc_name": endpoint});
    }
    activity.attributes = attributes;
    activity.unmapped = json!(summary);
    activity
}

fn source(summary: &Summary, cgroup: Option<&str>) -> Value {
    match &summary.pod {
        Some(pod) => network::with_pod(json!({}), Some(pod)),
        None => json!({"uid": cgroup.unwrap_or("cgroup:unknown")}),
    }
}

fn doing(of: Option<&str>) -> Doing {
    let as_other = |class: Class| other(class, "Folded");
    match of {
        Some("token_open") => FILE_OPEN,
        Some("token_received") => other(FILE, "Receive Descriptor"),
        Some("credential_connect" | "agent_accept") => NETWORK_OPEN,
        Some("connection_closed") => NETWORK_CLOSE,
        Some("connect_outcome") => as_other(NETWORK),
        _ => as_other(BASE),
    }
}
