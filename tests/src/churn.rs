//! Mounts, opens and unmounts token volumes of ever new pods as fast as it can: the kernel hands out the same device
//! numbers again and again, and no open may be laid to the wrong pod.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    auditor::{Auditor, Options},
    node::{Lab, PodSpec, cluster::ROLES, pod::POD_IDENTITY},
    patience,
    play::Score,
};

pub struct Churn {
    pub auditor: Options,
    pub helpers: PathBuf,
    pub cycles: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub opens: u32,
    /// Opener and owner are the pod of this cycle.
    pub right: u32,
    /// The owner is null: said to be unknown.
    pub unknown: u32,
    /// Anything else.
    pub wrong: u32,
}

impl Tally {
    /// Opens; one without its line is a failed one too.
    pub fn score(&self) -> Score {
        let passed = self.right + self.unknown;
        Score {
            passed,
            failed: self.wrong + self.opens.saturating_sub(passed + self.wrong),
            skipped: 0,
        }
    }

    /// One line for one open by the pod with UID `uid`.
    fn count(&mut self, line: &Value, uid: &str) {
        let opener = &line["pod"]["uid"];
        match &line["token"]["owner"]["uid"] {
            Value::String(owner) if owner == uid && (opener == uid) => self.right += 1,
            Value::Null if opener == uid => self.unknown += 1,
            _ => self.wrong += 1,
        }
    }
}

pub fn run(churn: &Churn) -> Result<Tally> {
    let mut lab = Lab::new(&churn.helpers)?;
    lab.cluster
        .associate("batch", "churn", &format!("{ROLES}/churn"))?;
    let specs: Vec<PodSpec> = (0..churn.cycles).map(|_| spec()).collect();
    lab.cluster.add_pods(specs.iter().cloned())?;
    let (mut auditor, _) = Auditor::start(&lab, &churn.auditor)?;

    let mut tally = Tally::default();
    // The opener's pid tells which cycle a line is of, whatever the auditor says of pods; a pid may come again.
    let mut uid_of: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut seen = 0;
    for spec in specs {
        let uid = spec.uid.clone();
        let pod = lab.start_unlisted(spec)?;
        lab.wait(&pod)?;
        uid_of.entry(pod.init_pid.into()).or_default().push(uid);
        tally.opens += 1;
        lab.remove_from_node(&pod)?;
        lab.delete_pods(0)?;
        while let Some(line) = auditor.next(Instant::now())? {
            seen += 1;
            attribute(&mut tally, &line, &mut uid_of)?;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(40) * patience();
    while seen < tally.opens {
        let line = auditor
            .next(deadline)?
            .with_context(|| format!("{seen} lines for {} opens", tally.opens))?;
        seen += 1;
        attribute(&mut tally, &line, &mut uid_of)?;
    }
    let rest = auditor.stop()?;
    ensure!(rest.len() == 1, "more lines than opens: {rest:?}");
    Ok(tally)
}

fn attribute(
    tally: &mut Tally,
    line: &Value,
    uid_of: &mut BTreeMap<u64, Vec<String>>,
) -> Result<()> {
    ensure!(line["event"] == "token_open", "not an open: {line}");
    let pid = line["process"]["pid"]
        .as_u64()
        .context("an open without pid")?;
    let uids = uid_of
        .get_mut(&pid)
        .filter(|u| !u.is_empty())
        .with_context(|| format!("nobody opened this: {line}"))?;
    let uid = uids.remove(0);
    tally.count(line, &uid);
    Ok(())
}

/// A pod whose only container reads its token and ends.
fn spec() -> PodSpec {
    let mut spec = PodSpec::daemon("batch", "churn").with_pod_identity();
    spec.tokens.retain(|t| t.volume == POD_IDENTITY);
    spec.argv = vec![
        "peek".into(),
        spec.token(POD_IDENTITY)
            .map(|t| t.path())
            .unwrap_or_default(),
    ];
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_older_pods_open_is_wrong_and_a_null_owner_unknown() {
        let mut tally = Tally::default();
        let line = |owner: Value| json!({"pod": {"uid": "new"}, "token": {"owner": owner}});
        tally.count(&line(json!({"uid": "new"})), "new");
        tally.count(&line(json!({"uid": "old"})), "new");
        tally.count(&line(Value::Null), "new");
        assert_eq!((tally.right, tally.wrong, tally.unknown), (1, 1, 1));
        tally.opens = 4;
        assert_eq!((tally.score().passed, tally.score().failed), (2, 2));
    }
}
