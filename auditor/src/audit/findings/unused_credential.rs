//! `unused-credential`

use jiff::SignedDuration;

use crate::{
    audit::{Use, ruling::Ruling},
    event::{BindingKind, Severity},
};

/// A binding that no process used while its pods were watched for that long.
///
/// A use is a pod's open of its own token of that kind: SDKs read it anew at least each time they renew what they got for it.
pub fn unused_credential(usage: &Use, unused_after: SignedDuration) -> Ruling {
    if usage.watched < unused_after {
        return Ruling::Clear;
    }
    let kind = match usage.key.kind {
        BindingKind::Irsa => "IRSA role",
        BindingKind::PodIdentity => "Pod Identity association",
    };
    let (namespace, name) = (&usage.key.namespace, &usage.key.service_account);
    let since = match usage.last_used {
        Some(last) => format!("; the last use was at {last:.0}"),
        None => String::new(),
    };
    Ruling::finding(
        Severity::Info,
        format!(
            "no pod of ServiceAccount {namespace}/{name} on this node used its {kind} {} in {} of running{since}",
            usage.binding,
            days(usage.watched)
        ),
    )
}

/// In the largest unit that it fills.
fn days(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (unit, each) = [("days", 86_400), ("hours", 3600), ("minutes", 60)]
        .into_iter()
        .find(|(_, each)| seconds >= 2 * each)
        .unwrap_or(("seconds", 1));
    format!("{} {unit}", seconds / each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{
        UseKey,
        testing::{Said, event_time},
    };

    const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

    fn watched(watched: SignedDuration) -> Use {
        Use {
            key: UseKey {
                namespace: "shop".into(),
                service_account: "web".into(),
                kind: BindingKind::PodIdentity,
            },
            binding: "a-web".into(),
            last_used: None,
            watched,
            seen: event_time(),
        }
    }

    #[test]
    fn cases() {
        let second = SignedDuration::from_secs(1);
        for (usage, after, expected) in [
            (watched(SignedDuration::ZERO), MONTH, Said::Clear),
            (watched(MONTH - second), MONTH, Said::Clear),
            (watched(MONTH), MONTH, Said::Finds(Severity::Info)),
            (watched(second), second, Said::Finds(Severity::Info)),
        ] {
            let said: Said = unused_credential(&usage, after).into();
            assert_eq!(said, expected, "{usage:?}");
        }
    }

    #[test]
    fn says_whose_and_for_how_long() {
        let mut usage = watched(MONTH + MONTH);
        for (last_used, message) in [
            (
                None,
                "no pod of ServiceAccount shop/web on this node used its Pod Identity association a-web in 60 days of running",
            ),
            (
                Some(event_time()),
                "no pod of ServiceAccount shop/web on this node used its Pod Identity association a-web in 60 days of running; the last use was at 2026-11-22T12:00:00Z",
            ),
        ] {
            usage.last_used = last_used;
            let Ruling::Finding { message: found, .. } = unused_credential(&usage, MONTH) else {
                panic!("{message}");
            };
            assert_eq!(found, message);
        }
        assert_eq!(days(SignedDuration::from_secs(90)), "90 seconds");
        assert_eq!(days(SignedDuration::from_hours(3)), "3 hours");
    }
}
