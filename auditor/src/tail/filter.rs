//! Which events are shown.

use jiff::Timestamp;
use serde_json::Value;

use crate::policy::Pattern;

/// Empty lists let everything through. Within a list any will do; the lists must all hold, those about pods for the same pod.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub verdicts: Vec<String>,
    /// Finding ids; `any` for each that has one.
    pub findings: Vec<String>,
    /// Event types by their names in the JSON.
    pub events: Vec<String>,
    pub namespaces: Vec<Pattern>,
    pub service_accounts: Vec<Name>,
    pub pods: Vec<Name>,
    pub since: Option<Timestamp>,
}

/// `NAME` or `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    namespace: Option<Pattern>,
    name: Pattern,
}

impl Name {
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self {
                namespace: Some(namespace.into()),
                name: name.into(),
            },
            None => Self {
                namespace: None,
                name: text.into(),
            },
        }
    }

    fn matches(&self, namespace: Option<&str>, name: Option<&str>) -> bool {
        let in_namespace = self
            .namespace
            .as_ref()
            .is_none_or(|wanted| namespace.is_some_and(|found| wanted.matches(found)));
        in_namespace && name.is_some_and(|found| self.name.matches(found))
    }
}

/// Where an event names somebody: who did it, whose credential it was, who else had a part in it.
const SUBJECTS: [&str; 7] = [
    "/pod",
    "/token/owner",
    "/connection/owner",
    "/target/pod",
    "/from/pod",
    "/listener",
    "/subject",
];

impl Filter {
    #[must_use]
    pub fn wants(&self, event: &Value) -> bool {
        if !self.is_recent(event) {
            return false;
        }
        let name = text(event, "/event");
        if !self.events.is_empty() && !name.is_some_and(|name| has(&self.events, name)) {
            return false;
        }
        // What was lost could have been what is looked for.
        if name == Some("loss") {
            return true;
        }
        let is_of_verdict =
            || text(event, "/verdict").is_some_and(|word| has(&self.verdicts, word));
        (self.verdicts.is_empty() || is_of_verdict())
            && (self.findings.is_empty() || self.has_finding(event))
            && (!self.asks_for_pods() || SUBJECTS.iter().any(|place| self.is_about(event, place)))
    }

    /// What has no time of its own that can be read is never old.
    pub fn is_recent(&self, event: &Value) -> bool {
        let Some(since) = self.since else {
            return true;
        };
        let time = text(event, "/time").and_then(|time| time.parse::<Timestamp>().ok());
        time.is_none_or(|time| time >= since)
    }

    fn has_finding(&self, event: &Value) -> bool {
        let found = event.pointer("/findings").and_then(Value::as_array);
        found.into_iter().flatten().any(|finding| {
            has(&self.findings, "any")
                || text(finding, "/id").is_some_and(|id| has(&self.findings, id))
        })
    }

    fn asks_for_pods(&self) -> bool {
        !(self.namespaces.is_empty() && self.service_accounts.is_empty() && self.pods.is_empty())
    }

    fn is_about(&self, event: &Value, place: &str) -> bool {
        let Some(subject) = event.pointer(place) else {
            return false;
        };
        let namespace = text(subject, "/namespace");
        // A posture may be a ServiceAccount's.
        let is_pod = text(subject, "/kind").is_none_or(|kind| kind == "pod");
        let pod = text(subject, "/name").filter(|_| is_pod);
        let any = |names: &[Name], name| {
            names.is_empty() || names.iter().any(|wanted| wanted.matches(namespace, name))
        };
        let in_namespace = self.namespaces.is_empty()
            || namespace.is_some_and(|found| self.namespaces.iter().any(|n| n.matches(found)));
        in_namespace
            && any(&self.service_accounts, text(subject, "/service_account"))
            && any(&self.pods, pod)
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|wanted| wanted == word)
}

fn text<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn theft() -> Value {
        json!({
            "event": "token_open", "time": "2026-11-22T12:00:00Z", "verdict": "violation",
            "findings": [{"id": "foreign-token-open"}],
            "pod": {"namespace": "shop", "name": "web-1", "service_account": "web"},
            "token": {"owner": {"namespace": "payments", "name": "api-1", "service_account": "api"}},
        })
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::parse(name)).collect()
    }

    #[test]
    fn each_filter_by_itself() {
        let all = Filter::default;
        for (filter, want) in [
            (all(), true),
            (
                Filter {
                    verdicts: words(&["suspicious", "violation"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    verdicts: words(&["allowed"]),
                    ..all()
                },
                false,
            ),
            (
                Filter {
                    findings: words(&["any"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    findings: words(&["foreign-token-open"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    findings: words(&["role-drift"]),
                    ..all()
                },
                false,
            ),
            (
                Filter {
                    events: words(&["token_open"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    events: words(&["listen"]),
                    ..all()
                },
                false,
            ),
            (
                Filter {
                    namespaces: vec!["shop".into()],
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    namespaces: vec!["pay*".into()],
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    namespaces: vec!["ops".into()],
                    ..all()
                },
                false,
            ),
            (
                Filter {
                    service_accounts: names(&["api"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    service_accounts: names(&["payments/api"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    service_accounts: names(&["shop/api"]),
                    ..all()
                },
                false,
            ),
            (
                Filter {
                    pods: names(&["web-*"]),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    pods: names(&["payments/web-1"]),
                    ..all()
                },
                false,
            ),
            (
                Filter {
                    since: Some("2026-11-22T12:00:00Z".parse().unwrap()),
                    ..all()
                },
                true,
            ),
            (
                Filter {
                    since: Some("2026-11-22T12:00:01Z".parse().unwrap()),
                    ..all()
                },
                false,
            ),
        ] {
            assert_eq!(filter.wants(&theft()), want, "{filter:?}");
        }
    }

    #[test]
    fn what_is_asked_of_a_pod_must_hold_for_one_and_the_same() {
        let filter = |namespace: &str, pod: &str| Filter {
            namespaces: vec![namespace.into()],
            pods: names(&[pod]),
            ..Filter::default()
        };
        assert!(filter("payments", "api-1").wants(&theft()));
        assert!(!filter("payments", "web-1").wants(&theft()));
    }

    #[test]
    fn losses_are_shown_unless_the_type_or_the_time_excludes_them() {
        let loss = json!({"event": "loss", "time": "2026-11-22T12:00:00Z"});
        let of = |filter: Filter| filter.wants(&loss);
        assert!(of(Filter {
            verdicts: words(&["violation"]),
            pods: names(&["x"]),
            ..Filter::default()
        }));
        assert!(!of(Filter {
            events: words(&["listen"]),
            ..Filter::default()
        }));
        assert!(!of(Filter {
            since: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            ..Filter::default()
        }));
        let health = json!({"event": "health"});
        assert!(
            !Filter {
                verdicts: words(&["violation"]),
                ..Filter::default()
            }
            .wants(&health)
        );
    }

    #[test]
    fn a_service_account_is_no_pod() {
        let of = |kind: &str| json!({"event": "finding", "subject": {"kind": kind, "namespace": "shop", "name": "web", "service_account": "web"}});
        let filter = Filter {
            pods: names(&["web"]),
            ..Filter::default()
        };
        assert!(filter.wants(&of("pod")) && !filter.wants(&of("service-account")));
        let filter = Filter {
            service_accounts: names(&["shop/web"]),
            ..Filter::default()
        };
        assert!(filter.wants(&of("service-account")));
    }
}
