//! Exemptions: the finding stays on the line, but does not count.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::Pattern;
use crate::event::{FindingId, Relation};

/// Who may do what, and why. The finding stays on the line, marked `exempted_by`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    #[serde(rename = "match")]
    pub matches: Match,
    /// Stands on every exempted finding.
    #[serde(deserialize_with = "reason")]
    #[schemars(length(min = 1))]
    pub reason: String,
    /// The last day, in UTC, on which it applies.
    #[serde(default, deserialize_with = "date")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub expires: Option<Date>,
}

/// All fields that are given must match; at least one is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Fields")]
#[schemars(!try_from, deny_unknown_fields, extend("minProperties" = 1))]
pub struct Match {
    /// Of the acting pod; a process outside every pod has none.
    pub namespace: Option<Pattern>,
    /// Of the acting pod.
    pub service_account: Option<Pattern>,
    /// Of the acting container, as the pod's spec names it.
    pub image: Option<Pattern>,
    /// Path of the acting process's program, in the mount namespace of the process; chroot does not change it.
    pub executable: Option<Pattern>,
    /// Of the actor to the owner of what was touched; connects have none.
    pub relation: Option<Relation>,
    pub finding: Option<FindingId>,
}

/// Who acted, and how he is related to what he touched. A field that is null matches no pattern, `*` neither.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Of the acting pod.
    pub namespace: Option<&'a str>,
    /// Of the acting pod.
    pub service_account: Option<&'a str>,
    /// Of the acting container.
    pub image: Option<&'a str>,
    /// Path of the process's executable.
    pub executable: Option<&'a str>,
    /// Null for connects.
    pub relation: Option<Relation>,
}

impl Exemption {
    /// Whether it covers a finding of this kind about `subject` at `time`.
    #[must_use]
    pub fn covers(&self, finding: FindingId, subject: &Subject<'_>, time: Timestamp) -> bool {
        !self.is_expired(time) && self.matches.matches(finding, subject)
    }

    #[must_use]
    pub fn is_expired(&self, time: Timestamp) -> bool {
        self.expires
            .is_some_and(|last_day| time.to_zoned(TimeZone::UTC).date() > last_day)
    }
}

impl Match {
    fn matches(&self, id: FindingId, subject: &Subject<'_>) -> bool {
        let Self {
            namespace,
            service_account,
            image,
            executable,
            relation,
            finding,
        } = self;
        let like = |pattern: &Option<Pattern>, text: Option<&str>| match pattern {
            Some(pattern) => text.is_some_and(|text| pattern.matches(text)),
            None => true,
        };
        like(namespace, subject.namespace)
            && like(service_account, subject.service_account)
            && like(image, subject.image)
            && like(executable, subject.executable)
            && relation.is_none_or(|relation| subject.relation == Some(relation))
            && finding.is_none_or(|finding| finding == id)
    }
}

/// It stands on every exempted finding: somebody will ask why.
fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(D::Error::custom(
            "an empty `reason`; say why this is exempted",
        ));
    }
    Ok(text)
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| D::Error::custom(format!("`{text}` is not a date; write it as 2027-06-30")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    namespace: Option<Pattern>,
    service_account: Option<Pattern>,
    image: Option<Pattern>,
    executable: Option<Pattern>,
    relation: Option<Relation>,
    finding: Option<FindingId>,
}

impl TryFrom<Fields> for Match {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let matches = Self {
            namespace: fields.namespace,
            service_account: fields.service_account,
            image: fields.image,
            executable: fields.executable,
            relation: fields.relation,
            finding: fields.finding,
        };
        if matches == Self::default() {
            return Err(
                "an empty `match` would exempt everything; give at least one of namespace, \
                 service_account, image, executable, relation, finding",
            );
        }
        Ok(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Subject<'_> = Subject {
        namespace: None,
        service_account: None,
        image: None,
        executable: Some("/opt/backup/bin/agent"),
        relation: Some(Relation::Host),
    };

    const SCANNER: Subject<'_> = Subject {
        namespace: Some("monitoring"),
        service_account: Some("scanner"),
        image: Some("registry/scanner:1.2"),
        executable: Some("/usr/bin/scan"),
        relation: Some(Relation::OtherPod),
    };

    fn matching(edit: impl FnOnce(&mut Match)) -> Match {
        let mut matches = Match::default();
        edit(&mut matches);
        matches
    }

    #[test]
    fn all_given_fields_must_match() {
        let foreign = FindingId::ForeignTokenOpen;
        for (what, matches, subject, expected) in [
            (
                "namespace",
                matching(|m| m.namespace = Some("moni*".into())),
                SCANNER,
                true,
            ),
            (
                "other namespace",
                matching(|m| m.namespace = Some("shop".into())),
                SCANNER,
                false,
            ),
            (
                "image",
                matching(|m| m.image = Some("registry/scanner:*".into())),
                SCANNER,
                true,
            ),
            (
                "finding",
                matching(|m| m.finding = Some(foreign)),
                SCANNER,
                true,
            ),
            (
                "other finding",
                matching(|m| m.finding = Some(FindingId::RoleDrift)),
                SCANNER,
                false,
            ),
            (
                "relation",
                matching(|m| m.relation = Some(Relation::Host)),
                HOST,
                true,
            ),
            (
                "other relation",
                matching(|m| m.relation = Some(Relation::Host)),
                SCANNER,
                false,
            ),
            (
                "executable",
                matching(|m| m.executable = Some("/opt/backup/*".into())),
                HOST,
                true,
            ),
            (
                "a host process has no namespace",
                matching(|m| m.namespace = Some("*".into())),
                HOST,
                false,
            ),
            (
                "one of two",
                matching(|m| {
                    m.service_account = Some("scanner".into());
                    m.executable = Some("/bin/sh".into());
                }),
                SCANNER,
                false,
            ),
        ] {
            assert_eq!(matches.matches(foreign, &subject), expected, "{what}");
        }
    }

    #[test]
    fn ends_with_its_last_day() {
        let exemption = Exemption {
            matches: matching(|m| m.relation = Some(Relation::Host)),
            reason: "backup".into(),
            expires: Some("2027-06-30".parse().unwrap()),
        };
        for (time, expected) in [
            ("2027-06-29T12:00:00Z", true),
            ("2027-06-30T23:59:59Z", true),
            ("2027-07-01T00:00:00Z", false),
        ] {
            let time = time.parse().unwrap();
            assert_eq!(
                exemption.covers(FindingId::HostTokenOpen, &HOST, time),
                expected,
                "{time}"
            );
        }
    }
}
