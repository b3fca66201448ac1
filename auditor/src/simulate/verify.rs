//! Whether what was announced fires, and nothing else of the simulation's namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    time::Duration,
};

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use super::{Announced, Labels, Scene, metrics, prometheus, report::table};
use crate::eks::http;

/// From one question to the next.
const INTERVAL: Duration = Duration::from_secs(5);
/// For one answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A Prometheus, by the beginning of its URLs: which alerts fire.
    Prometheus(String),
    /// The auditors, one a node, by the URLs of their metrics: what they found since they started.
    Auditors(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    Firing,
    Missing,
    /// It does not fire, and no auditor that was asked after watches the hook that tells of it.
    Unwatched,
}

#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    #[serde(flatten)]
    pub announced: Announced,
    pub state: Found,
}

/// `auditor simulate verify --output json`.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub answers: Vec<Answer>,
    /// Of the simulation's namespace, and announced by no scene that was asked after.
    pub unexpected: Vec<Labels>,
}

impl Verdict {
    #[must_use]
    pub fn missing(&self) -> usize {
        let answers = self.answers.iter();
        answers
            .filter(|answer| answer.state == Found::Missing)
            .count()
    }

    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing() == 0
    }

    /// Nothing is missing, and nothing is too much.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_complete() && self.unexpected.is_empty()
    }

    #[must_use]
    pub fn text(&self) -> String {
        let title = ["SCENE", "STATE", "ALERT", "FINDING", "BY WHOM"].map(str::to_owned);
        let rows = self.answers.iter().map(|answer| {
            let one = &answer.announced;
            let state = match (answer.state, one.hook) {
                (Found::Firing, _) => "firing".to_owned(),
                (Found::Missing, _) => "MISSING".to_owned(),
                (Found::Unwatched, hook) => format!("not watched ({})", hook.unwrap_or("?")),
            };
            let [scene, alert] = [one.scene, one.alert].map(str::to_owned);
            [scene, state, alert, one.finding(), one.who()]
        });
        let unexpected = self.unexpected.iter().map(|labels| {
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            [
                "-".to_owned(),
                "UNEXPECTED".to_owned(),
                label("alertname"),
                format!("{}:{}", label("finding"), label("finding_severity")),
                format!(
                    "{} -> {}",
                    label("workload_service_account"),
                    label("owner_service_account")
                ),
            ]
        });
        table(iter::once(title).chain(rows).chain(unexpected))
    }
}

/// Holds what was seen against what was announced. `blind`: hooks that nothing watches.
#[must_use]
pub fn compare(announced: &[Announced], seen: &[Labels], blind: &BTreeSet<String>) -> Verdict {
    let state = |one: &Announced| {
        if seen.iter().any(|labels| one.is(labels)) {
            Found::Firing
        } else if one.hook.is_some_and(|hook| blind.contains(hook)) {
            Found::Unwatched
        } else {
            Found::Missing
        }
    };
    let answers = announced.iter().map(|one| Answer {
        announced: one.clone(),
        state: state(one),
    });
    let is_known = |labels: &&Labels| announced.iter().any(|one| one.is(labels));
    Verdict {
        answers: answers.collect(),
        unexpected: seen
            .iter()
            .filter(|labels| !is_known(labels))
            .cloned()
            .collect(),
    }
}

/// Of `credential_auditor_probe_info`: hooks that no auditor watches. On which node the scenes were played is not known.
pub(super) fn blind(probes: &[Labels]) -> BTreeSet<String> {
    let mut watched: BTreeMap<&str, bool> = BTreeMap::new();
    for probe in probes {
        let (Some(hook), Some(backend)) = (probe.get("hook"), probe.get("backend")) else {
            continue;
        };
        *watched.entry(hook).or_default() |= backend != "none";
    }
    let blind = watched.into_iter().filter(|(_, is_watched)| !is_watched);
    blind.map(|(hook, _)| hook.to_owned()).collect()
}

/// Asks until all that was announced was seen, and then once more, or until `limit` is over. `note` is told each time that it changes how
/// much is missing.
///
/// # Errors
/// When the first question was not answered, or the last, and why.
pub async fn verify(
    asked: &Asked,
    scenes: &[&'static Scene],
    namespace: &str,
    since: Duration,
    limit: Duration,
    mut note: impl FnMut(&Verdict),
) -> Result<Verdict, String> {
    let announced = Announced::all(scenes.iter().copied(), namespace);
    let deadline = Instant::now() + limit;
    let mut missing = None;
    loop {
        let result = ask(asked, namespace, since)
            .await
            .map(|(seen, blind)| compare(&announced, &seen, &blind));
        let is_last = Instant::now() + INTERVAL > deadline;
        match result {
            // Not there, or not yet: somebody should know at once.
            Err(why) if is_last || missing.is_none() => return Err(why),
            Err(_) => {}
            Ok(verdict) => {
                let now = verdict.missing();
                // What is too much may come last.
                if is_last || (now == 0 && missing == Some(0)) {
                    return Ok(verdict);
                }
                if missing.replace(now) != Some(now) {
                    note(&verdict);
                }
            }
        }
        sleep(INTERVAL).await;
    }
}

/// What was seen of the namespace, and which hooks nothing watches.
async fn ask(
    asked: &Asked,
    namespace: &str,
    since: Duration,
) -> Result<(Vec<Labels>, BTreeSet<String>), String> {
    match asked {
        Asked::Prometheus(base) => {
            let alerts = get(&prometheus::url(
                base,
                &prometheus::alerts(namespace, since),
            ))
            .await?;
            let probes = get(&prometheus::url(base, prometheus::PROBES)).await?;
            Ok((
                prometheus::series(&alerts)?,
                blind(&prometheus::series(&probes)?),
            ))
        }
        Asked::Auditors(urls) => {
            let (mut seen, mut probes) = (Vec::new(), Vec::new());
            for url in urls {
                let text = get(url).await?;
                let text = String::from_utf8_lossy(&text);
                seen.extend(metrics::findings(&text, namespace));
                probes.extend(metrics::probes(&text));
            }
            Ok((seen, blind(&probes)))
        }
    }
}

async fn get(url: &str) -> Result<Vec<u8>, String> {
    // The query would bury the reason.
    let place = url.split('?').next().unwrap_or(url);
    let fail = |why: String| format!("{place}: {why}");
    let answer = timeout(ANSWERS_WITHIN, http::get(&http::connector(), url, []))
        .await
        .map_err(|_| fail(format!("no answer within {} s", ANSWERS_WITHIN.as_secs())))?
        .map_err(fail)?;
    if answer.status != 200 {
        let said = String::from_utf8_lossy(&answer.body);
        let said: String = said.chars().take(200).collect();
        return Err(fail(format!("status {}: {said}", answer.status)));
    }
    Ok(answer.body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::SCENES;

    fn announced() -> Vec<Announced> {
        Announced::all(SCENES, "sim")
    }

    fn alert(one: &Announced) -> Labels {
        let mut labels = one.labels.clone();
        for (name, value) in [("alertname", one.alert), ("node", "n1"), ("severity", "x")] {
            labels.insert(name.to_owned(), value.to_owned());
        }
        labels
    }

    #[test]
    fn all_that_was_announced_and_nothing_else() {
        let announced = announced();
        let firing: Vec<Labels> = announced.iter().map(alert).collect();
        let verdict = compare(&announced, &firing, &BTreeSet::new());
        assert!(verdict.is_exact(), "{}", verdict.text());
        for index in 0..firing.len() {
            let mut less = firing.clone();
            less.remove(index);
            let verdict = compare(&announced, &less, &BTreeSet::new());
            assert!(!verdict.is_complete(), "{}", verdict.text());
            let mut other = firing.clone();
            for (name, value) in [
                ("workload_service_account", "somebody"),
                ("finding_severity", "low"),
                ("owner_service_account", "nobody"),
                ("alertname", "Other"),
            ] {
                other[index].insert(name.to_owned(), value.to_owned());
                let verdict = compare(&announced, &other, &BTreeSet::new());
                assert!(!verdict.is_complete(), "{name}: {}", verdict.text());
                assert_eq!(verdict.unexpected.len(), 1, "{name}");
                other[index] = firing[index].clone();
            }
        }
        let mut more = firing;
        more.push(Labels::from([(
            "alertname".to_owned(),
            "CredentialTheft".to_owned(),
        )]));
        let verdict = compare(&announced, &more, &BTreeSet::new());
        assert!(verdict.is_complete() && !verdict.is_exact());
        assert!(verdict.text().contains("UNEXPECTED"), "{}", verdict.text());
    }

    #[test]
    fn what_nothing_watches_is_not_missing() {
        let probe = |hook: &str, backend: &str| -> Labels {
            let labels = [("hook", hook), ("backend", backend)];
            labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        };
        let probes = [
            probe("socket_create", "none"),
            probe("file_open", "syscall"),
            probe("memory", "none"),
            probe("memory", "fentry"),
        ];
        let blind = blind(&probes);
        assert_eq!(blind, BTreeSet::from(["socket_create".to_owned()]));
        let announced = announced();
        let firing: Vec<Labels> = announced
            .iter()
            .filter(|one| one.hook.is_none())
            .map(alert)
            .collect();
        let verdict = compare(&announced, &firing, &blind);
        assert!(verdict.is_exact(), "{}", verdict.text());
        assert!(verdict.text().contains("not watched (socket_create)"));
        assert!(!compare(&announced, &firing, &BTreeSet::new()).is_complete());
        // Of the others each is missed, also where nothing is told of any hook.
        let verdict = compare(&announced, &[], &blind);
        assert_eq!(verdict.missing(), firing.len());
    }
}
