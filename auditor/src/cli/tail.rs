//! `auditor tail`: its flags and what they mean.

use std::path::PathBuf;

use clap::{Args, builder::PossibleValue};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use super::UsageError;
use crate::{
    tail::{Filter, Name},
    text::{ColorChoice, EVENTS},
};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  A recorded stream:
    auditor tail docs/samples/stream.jsonl

  What broke a rule or nearly did, with the ids that `auditor explain` asks for:
    auditor tail --verdict violation,suspicious --ids docs/samples/stream.jsonl

  Who took the tokens of one workload, and when:
    auditor tail --service-account payments/ledger --event open,received \
      docs/samples/stream.jsonl

  All that has a finding, of the pods of one Deployment, since a time:
    auditor tail --finding any --pod 'shop/web-*' --since 2026-11-22 \
      docs/samples/stream.jsonl

  From a pipe; colours into a pager:
    grep '"node":"ip-10-0-1-5' docs/samples/stream.jsonl | auditor tail --color always | less -R

  Live on a node, from now on, over rotations of the file:
    auditor tail --follow --since 0s /var/log/auditor.jsonl

  Live from a pod of the DaemonSet:
    kubectl logs -n credential-auditor -f ds/credential-auditor | auditor tail --finding any

Filters of one kind add up (any of them), those of different kinds must all hold. Namespace, ServiceAccount and pod
may be whoever did it or whose credential it was; `*` stands for anything. Lost events and gaps are always shown:
what is missing could have been what is looked for.

What is no event (no JSON, torn, too long, of another version) is told on stderr with its line number, and skipped.

EXIT STATUS:
  0  the end of the input, or nobody reads the output any more
  1  the environment: the file cannot be read
  2  usage: an unknown flag, or a value that is not allowed"#;

const VERDICTS: [&str; 4] = ["violation", "suspicious", "undetermined", "allowed"];

/// Those of [`crate::event::FindingId`], and any of them.
const FINDINGS: [&str; 23] = [
    "any",
    "foreign-token-open",
    "token-harvest",
    "host-token-open",
    "foreign-token-received",
    "stealth-agent-connection",
    "agent-impersonation",
    "identity-mismatch",
    "credential-memory-access",
    "unassociated-agent-connect",
    "unbound-token-open",
    "role-drift",
    "token-write",
    "exec-session-token-open",
    "foreign-executable",
    "unexpected-executable",
    "raw-socket",
    "agent-connect-without-token",
    "node-role-fallback",
    "denied-token-open",
    "agent-unreachable",
    "identity-not-injected",
    "unused-credential",
];

#[derive(Args, Clone, Debug, Default)]
pub struct TailArgs {
    /// Lines of JSON as `auditor run` writes them; `-` is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,

    /// Only events with this verdict; repeatable, or separated by commas
    #[arg(long, value_name = "VERDICT", value_delimiter = ',', value_parser = VERDICTS, help_heading = "What is shown")]
    pub verdict: Vec<String>,

    /// Only events with this finding, or with `any`; docs/findings.md lists them
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = FINDINGS, hide_possible_values = true, help_heading = "What is shown")]
    pub finding: Vec<String>,

    /// Only events of this type, by its name in the JSON or its word in the second column
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = events(), hide_possible_values = true, help_heading = "What is shown")]
    pub event: Vec<String>,

    /// Only events of pods of this namespace
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        help_heading = "What is shown"
    )]
    pub namespace: Vec<String>,

    /// Only events of pods of this ServiceAccount
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME",
        value_delimiter = ',',
        help_heading = "What is shown"
    )]
    pub service_account: Vec<String>,

    /// Only events of this pod
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME",
        value_delimiter = ',',
        help_heading = "What is shown"
    )]
    pub pod: Vec<String>,

    /// Only what happened since then: `30s`, `5m`, `2h`, `7d` ago, or a time such as 2026-11-22T12:00:00Z or 2026-11-22
    #[arg(long, value_name = "TIME", help_heading = "What is shown")]
    pub since: Option<String>,

    /// Of what is there at the start, only so many last lines
    #[arg(long, short = 'n', value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=10_000), allow_negative_numbers = true, help_heading = "What is shown")]
    pub lines: Option<u32>,

    /// Go on when the file ends: it grows, and may be rotated by a rename or cut to nothing, or not be there yet
    #[arg(long, short = 'f')]
    pub follow: bool,

    /// End each line with the event's id
    #[arg(long)]
    pub ids: bool,

    /// Whether to colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// A validated `auditor tail`.
#[derive(Clone, Debug)]
pub struct TailConfig {
    /// Stdin when none.
    pub file: Option<PathBuf>,
    pub filter: Filter,
    /// All when none.
    pub lines: Option<usize>,
    pub follow: bool,
    pub ids: bool,
    pub color: ColorChoice,
}

impl TailConfig {
    /// # Errors
    /// On the first value without a meaning.
    pub fn new(args: TailArgs, now: Timestamp) -> Result<Self, UsageError> {
        let TailArgs {
            file,
            verdict,
            finding,
            event,
            namespace,
            service_account,
            pod,
            since,
            lines,
            follow,
            ids,
            color,
        } = args;
        let is_stdin = file.as_os_str() == "-";
        Ok(Self {
            file: (!is_stdin).then_some(file),
            filter: Filter {
                verdicts: verdict,
                findings: finding,
                events: event.into_iter().map(full_name).collect(),
                namespaces: namespace.into_iter().map(Into::into).collect(),
                service_accounts: service_account
                    .iter()
                    .map(|name| Name::parse(name))
                    .collect(),
                pods: pod.iter().map(|name| Name::parse(name)).collect(),
                since: since.map(|since| parse_since(&since, now)).transpose()?,
            },
            lines: lines.and_then(|lines| usize::try_from(lines).ok()),
            follow,
            ids,
            color,
        })
    }
}

fn events() -> Vec<PossibleValue> {
    let value =
        |(name, short): &(&'static str, &'static str)| PossibleValue::new(*name).alias(*short);
    EVENTS.iter().map(value).collect()
}

fn full_name(event: String) -> String {
    let known = EVENTS.iter().find(|(_, short)| *short == event);
    known.map_or(event, |(name, _)| (*name).to_owned())
}

fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, UsageError> {
    let day = || {
        let date: civil::Date = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    ago(text)
        .and_then(|ago| now.checked_sub(ago).ok())
        .or_else(|| text.parse().ok())
        .or_else(day)
        .ok_or_else(|| {
            let allowed = "a number with `s`, `m`, `h` or `d`, or a time as RFC 3339 writes it";
            let example = "--since 10m, or --since 2026-11-22T12:00:00Z";
            UsageError::value("--since", text, allowed, example)
        })
}

/// `30s`, `5m`, `2h`, `7d`.
fn ago(text: &str) -> Option<SignedDuration> {
    const UNITS: [(char, i64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    let number = text.strip_suffix(unit)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<i64>().ok()?.checked_mul(seconds)?;
    Some(SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FindingId;

    #[test]
    fn findings_are_those_of_the_contract() {
        let schema = include_str!("../../../docs/event.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let ids = &schema["$defs"]["FindingId"]["enum"];
        assert_eq!(*ids, serde_json::json!(FINDINGS[1..]));
        for id in &FINDINGS[1..] {
            serde_json::from_value::<FindingId>((*id).into()).unwrap();
        }
    }

    #[test]
    fn since_is_a_span_a_time_or_a_day() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("0s", Some("2026-11-22T12:00:00Z")),
            ("90s", Some("2026-11-22T11:58:30Z")),
            ("5m", Some("2026-11-22T11:55:00Z")),
            ("2h", Some("2026-11-22T10:00:00Z")),
            ("7d", Some("2026-11-15T12:00:00Z")),
            ("2026-11-22T13:00:00+01:00", Some("2026-11-22T12:00:00Z")),
            ("2026-11-20", Some("2026-11-20T00:00:00Z")),
            ("yesterday", None),
            ("", None),
            ("s", None),
            ("-5m", None),
            ("5", None),
            ("99999999999999999999d", None),
            ("9223372036854775807s", None),
        ] {
            let parsed = parse_since(text, now).ok();
            assert_eq!(parsed, want.map(|want| want.parse().unwrap()), "{text:?}");
        }
        let error = parse_since("soon", now).unwrap_err();
        assert!(error.help().contains("--since 10m"), "{}", error.help());
    }

    #[test]
    fn an_event_goes_by_its_name_or_its_word() {
        assert_eq!(full_name("open".to_owned()), "token_open");
        assert_eq!(full_name("token_open".to_owned()), "token_open");
    }
}
