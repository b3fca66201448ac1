//! The auditor's words about itself: that it watches, that it stopped, what it lost.

use serde_json::json;

use super::{
    class::{
        ERROR, FAILURE, GENERAL_ERROR, HIGH, INFORMATIONAL, MEDIUM, START, STOP, SUCCESS, other,
    },
    event::{Activity, product},
};
use crate::event::{Health, Loss, Ready, Stopped};

pub(super) fn ready(ready: &Ready) -> Activity<'_> {
    let Ready {
        version,
        kernel,
        backends,
        coverage,
        state,
        policy_hash,
        pods,
        associations,
        metrics,
    } = ready;
    let message = "the auditor watches this node".to_owned();
    let mut activity = Activity::own(START, INFORMATIONAL, message);
    activity.status = Some(SUCCESS);
    activity.attributes = json!({"app": product()});
    activity.unmapped = json!({
        "version": version,
        "kernel": kernel,
        "backends": backends,
        "coverage": coverage,
        "state": state,
        "policy_hash": policy_hash,
        "pods": pods,
        "associations": associations,
        "metrics": metrics,
    });
    activity
}

pub(super) fn stopped(stopped: &Stopped) -> Activity<'_> {
    let message = format!("the auditor stopped: {}", stopped.reason);
    let mut activity = Activity::own(STOP, INFORMATIONAL, message);
    activity.status = Some(SUCCESS);
    activity.attributes = json!({
        "app": product(),
        "duration": stopped.uptime_seconds.saturating_mul(1000),
    });
    activity.unmapped = json!(stopped);
    activity
}

pub(super) fn health(health: &Health) -> Activity<'_> {
    let Health {
        component,
        state,
        message,
    } = health;
    let (doing, level, status) = match state.as_str() {
        "ok" => (other(ERROR, "Recovered"), INFORMATIONAL, SUCCESS),
        // It sees less than it should.
        "degraded" => (GENERAL_ERROR, HIGH, FAILURE),
        _ => (GENERAL_ERROR, MEDIUM, FAILURE),
    };
    let mut activity = Activity::own(doing, level, message.clone());
    activity.status = Some(status);
    activity.attributes = json!({"status_code": state, "status_detail": component});
    activity.unmapped = json!({"component": component, "state": state});
    activity
}

/// With `sequence` it tells how many numbers are missing before it, where the reason is `sink`.
pub(super) fn loss(loss: &Loss) -> Activity<'_> {
    let Loss {
        reason,
        ring,
        count,
        from,
        to,
    } = loss;
    let message = format!("{count} events were lost: {reason}");
    let mut activity = Activity::own(GENERAL_ERROR, HIGH, message);
    activity.status = Some(FAILURE);
    activity.attributes = json!({
        "status_code": reason,
        "status_detail": ring,
        "count": count,
        "start_time": from.as_millisecond(),
        "end_time": to.as_millisecond(),
    });
    activity.unmapped = json!(loss);
    activity
}
