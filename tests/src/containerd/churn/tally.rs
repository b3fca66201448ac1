//! What became of the containers of a churn, by the lines that the auditor wrote.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::PARALLEL;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Churned {
    pub containers: u32,
    /// Pod, container id and owner are those of the process that opened.
    pub right: u32,
    /// The pod or the owner is null: said to be unknown.
    pub unknown: u32,
    /// Another pod, container or owner.
    pub wrong: u32,
    /// No line.
    pub lost: u32,
    /// From the first start to the last end.
    pub took: Duration,
}

impl Churned {
    pub fn all_right(&self) -> bool {
        self.right == self.containers && self.wrong + self.unknown + self.lost == 0
    }
}

impl fmt::Display for Churned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            containers,
            right,
            unknown,
            wrong,
            lost,
            took,
        } = self;
        writeln!(
            f,
            "{containers} containers, {right} attributed right, {wrong} misattributed, {unknown} unknown, {lost} lost"
        )?;
        let each = took.as_millis() / u128::from((*containers).max(1));
        write!(
            f,
            "one each {each} ms ({:.1} s in all, by ctr and runc, {PARALLEL} at a time)",
            took.as_secs_f64()
        )
    }
}

/// `started`: the UID of each pod, to its container's id.
pub(super) fn tally(lines: &[Value], mut started: BTreeMap<String, String>) -> Result<Churned> {
    let mut churned = Churned {
        containers: u32::try_from(started.len())?,
        ..Churned::default()
    };
    for line in lines {
        let path = line["process"]["args"][1]
            .as_str()
            .with_context(|| format!("not an open by a container of the churn: {line}"))?;
        let uid = path.split('/').nth(3).unwrap_or_default();
        let id = started
            .remove(uid)
            .with_context(|| format!("a second line, or nobody's: {line}"))?;
        ensure!(line["event"] == "token_open", "not an open: {line}");
        let (pod, owner) = (&line["pod"]["uid"], &line["token"]["owner"]["uid"]);
        if pod == uid && owner == uid && line["container"]["id"] == id.as_str() {
            churned.right += 1;
        } else if [pod, owner].iter().all(|who| who.is_null() || **who == uid) {
            churned.unknown += 1;
        } else {
            churned.wrong += 1;
        }
    }
    churned.lost = u32::try_from(started.len())?;
    Ok(churned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(args: &str, pod: &str, owner: Value, id: &str) -> Value {
        json!({"event": "token_open", "process": {"args": ["peek", format!("/run/tokens/{args}/t")]},
            "pod": {"uid": pod}, "token": {"owner": {"uid": owner}}, "container": {"id": id}})
    }

    fn started() -> BTreeMap<String, String> {
        ["a", "b", "c", "d"]
            .map(|uid| (uid.to_owned(), format!("{uid}-id")))
            .into()
    }

    #[test]
    fn another_pod_owner_or_container_is_wrong_and_a_null_one_unknown() {
        let lines = [
            line("a", "a", json!("a"), "a-id"),
            line("b", "b", json!("a"), "b-id"),
            line("c", "c", Value::Null, "c-id"),
        ];
        let churned = tally(&lines, started()).unwrap();
        let Churned {
            right,
            wrong,
            unknown,
            lost,
            ..
        } = churned;
        assert_eq!((right, wrong, unknown, lost), (1, 1, 1, 1));
        assert!(!churned.all_right());
    }

    #[test]
    fn a_second_line_of_one_open_is_an_error() {
        let twice = [
            line("a", "a", json!("a"), "a-id"),
            line("a", "a", json!("a"), "a-id"),
        ];
        assert!(tally(&twice, started()).is_err());
    }
}
