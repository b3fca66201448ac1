//! Plays the corpus. Every drift from what is declared fails, to the better as to the worse.

use std::{collections::BTreeMap, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    cast::Cast,
    corpus::{self, Technique},
    declaration::{Backend, Declaration},
};
use crate::{
    auditor::{Auditor, Options},
    expect::{Expected, Tally},
    node::Lab,
    play::{Fence, Score, finish, introduction, settle, stage},
    report::{self, Mark, Paint},
    scene::Stage,
    sys::machine::Machine,
};

/// What `evade` prints before the reason where the kernel lacks what the technique needs.
pub const SKIPPED: &str = "skipped: ";

/// What it prints before the number of opens that it counted.
const COUNTED: &str = "counted: ";

pub struct Evade {
    pub auditor: Options,
    pub helpers: PathBuf,
    /// All of them where empty.
    pub techniques: Vec<String>,
    pub paint: Paint,
}

struct Played {
    tally: Tally,
    lines: Vec<Value>,
    skipped: Option<String>,
}

/// A technique, and what is declared of it.
pub type Declared = (Technique, Declaration);

/// Those of the names, or all of them where there are none.
///
/// # Errors
/// When there is none of that name, or its declaration is wrong.
pub fn declared(names: &[String]) -> Result<Vec<Declared>> {
    let techniques = corpus::chosen(names)?.into_iter();
    techniques
        .map(|technique| {
            technique
                .declaration()
                .map(|declared| (technique, declared))
        })
        .collect()
}

pub fn run(evade: &Evade) -> Result<Score> {
    let techniques = declared(&evade.techniques)?;
    let mut stage = stage(Lab::new(&evade.helpers)?)?;
    let fence = Fence::start(&mut stage.lab)?;
    let (mut auditor, ready) = Auditor::start(&stage.lab, &evade.auditor)?;
    println!("{}", evade.paint.dim(&introduction(&ready)));
    // Kubernetes' timestamps have whole seconds, and within two seconds of its start the auditor accuses nobody of stealth.
    thread::sleep(Duration::from_secs(2));
    let running = (&mut auditor, &ready);
    let mut score = perform_all(&techniques, &mut stage, running, &fence, evade.paint)?;
    if let Err(e) = finish(auditor) {
        score.failed += 1;
        println!("{} {e:#}", evade.paint.bad("FAIL at the end:"));
    }
    Ok(score)
}

/// Plays techniques with a running auditor, given with its `ready` event.
pub fn perform_all(
    techniques: &[Declared],
    stage: &mut Stage,
    (auditor, ready): (&mut Auditor, &Value),
    fence: &Fence,
    paint: Paint,
) -> Result<Score> {
    let backend = &ready["backends"]["file_open"]["backend"];
    let backend = Backend::named(backend.as_str().unwrap_or("?"))?;
    let machine = Machine::this();
    let mut results = Results::default();
    for (technique, declaration) in techniques {
        let before = stage.lab.pod_count();
        let lab = &mut stage.lab;
        let mut late = Vec::new();
        let mut is_anothers = |line: &Value| {
            let whose = technique_of(line).filter(|name| *name != technique.name);
            late.extend(whose.clone().map(|name| (name, line.clone())));
            whose.is_some()
        };
        let played = perform(
            technique,
            declaration,
            backend,
            lab,
            auditor,
            fence,
            &mut is_anothers,
        );
        let must_skip = declaration.is_skipped_on(&machine);
        let (mark, lines, trouble) = judge(played, must_skip);
        let expectation = declaration.on(backend).context("no such backend")?;
        let sight = expectation.sight().word();
        let about = format!("({}) {}", declaration.fact, declaration.about);
        let name = &technique.name;
        results.tell(paint, mark, name, sight, &about, &lines);
        for line in trouble.lines() {
            println!("       {line}");
        }
        for (name, line) in late {
            let about = format!(
                "a line too many, and late: while {} was played",
                technique.name
            );
            let sight = results.0.get(&name).map_or("seen", |(_, sight)| sight);
            results.tell(paint, Mark::Failed, &name, sight, &about, &[line]);
        }
        stage.lab.delete_pods(before)?;
    }
    Ok(results.score())
}

/// By technique: how it went, and what is to be seen of it.
#[derive(Default)]
struct Results(BTreeMap<String, (Mark, &'static str)>);

impl Results {
    /// Prints it. A second word on a technique counts instead of the first.
    fn tell(
        &mut self,
        paint: Paint,
        mark: Mark,
        name: &str,
        sight: &'static str,
        about: &str,
        lines: &[Value],
    ) {
        let about = format!("{sight:<8}  {about}");
        println!("{}", report::scene(paint, mark, name, &about, lines));
        self.0.insert(name.to_owned(), (mark, sight));
    }

    fn score(&self) -> Score {
        let mut score = Score::default();
        for (mark, _) in self.0.values() {
            match mark {
                Mark::Passed => score.passed += 1,
                Mark::Failed => score.failed += 1,
                Mark::Skipped => score.skipped += 1,
            }
        }
        score
    }
}

/// The technique whose pods a line names.
fn technique_of(line: &Value) -> Option<String> {
    let pods = [
        &line["pod"],
        &line["token"]["owner"],
        &line["connection"]["owner"],
        &line["target"]["pod"],
    ];
    let apps = pods.iter().filter_map(|pod| {
        let (app, _) = pod["name"].as_str()?.rsplit_once('-')?;
        Some(app.strip_suffix("-victim").unwrap_or(app))
    });
    let known = |app: &str| corpus::all().any(|technique| technique.name == app);
    apps.into_iter().find(|app| known(app)).map(str::to_owned)
}

/// Mark, lines, and what is wrong. `must_skip`: its declaration says so of this machine.
fn judge(played: Result<Played>, must_skip: bool) -> (Mark, Vec<Value>, String) {
    match played {
        Err(e) => (Mark::Failed, Vec::new(), format!("{e:#}")),
        Ok(p) if !p.tally.exact() => (Mark::Failed, p.lines, p.tally.to_string()),
        Ok(p) => match (p.skipped, must_skip) {
            (Some(why), true) => (Mark::Skipped, p.lines, format!("{SKIPPED}{why}")),
            (Some(why), false) => {
                let trouble = format!("{SKIPPED}{why}; its `may_skip` does not name this machine");
                (Mark::Failed, p.lines, trouble)
            }
            (None, true) => {
                let trouble = "it runs here, and its `may_skip` says that it does not";
                (Mark::Failed, p.lines, trouble.to_owned())
            }
            (None, false) => (Mark::Passed, p.lines, String::new()),
        },
    }
}

fn perform(
    technique: &Technique,
    declaration: &Declaration,
    backend: Backend,
    lab: &mut Lab,
    auditor: &mut Auditor,
    fence: &Fence,
    is_anothers: &mut dyn FnMut(&Value) -> bool,
) -> Result<Played> {
    let mut skipped = None;
    let acted = act(&technique.name, declaration, backend, lab, &mut skipped);
    // A technique that could not be used may have got as far as any of its lines.
    let expected = acted.map(|expected| match skipped {
        Some(_) => expected.into_iter().map(Expected::optional).collect(),
        None => expected,
    });
    let (tally, lines) = settle(expected, lab, auditor, fence, is_anothers)?;
    Ok(Played {
        tally,
        lines,
        skipped,
    })
}

fn act(
    name: &str,
    declaration: &Declaration,
    backend: Backend,
    lab: &mut Lab,
    skipped: &mut Option<String>,
) -> Result<Vec<Expected>> {
    let cast = Cast::start(lab, name, declaration)?;
    let mut counted = None;
    for step in &declaration.run {
        let said = cast.act(lab, name, step)?;
        if let Some(why) = said.lines().find_map(|line| line.strip_prefix(SKIPPED)) {
            *skipped = Some(why.to_owned());
            break;
        }
        if let Some(count) = said.lines().find_map(|line| line.strip_prefix(COUNTED)) {
            counted = Some(count.parse().context("no number was counted")?);
        }
    }
    let expectation = declaration.on(backend).context("no such backend")?;
    cast.expected(expectation, counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_skip_is_right_only_where_it_is_declared_and_there_it_must_come() {
        let mark = |skipped: Option<&str>, must_skip| {
            let played = Played {
                tally: Tally::default(),
                lines: Vec::new(),
                skipped: skipped.map(str::to_owned),
            };
            judge(Ok(played), must_skip).0
        };
        assert_eq!(mark(None, false), Mark::Passed);
        assert_eq!(mark(Some("no such thing"), true), Mark::Skipped);
        assert_eq!(mark(Some("no such thing"), false), Mark::Failed);
        assert_eq!(mark(None, true), Mark::Failed);
    }
    #[test]
    fn a_line_is_of_the_technique_whose_pods_it_names() {
        let of = |line: Value| technique_of(&line);
        let pod = |name: &str| json!({"namespace": "shop", "name": name});
        let open = Some("overlay-lower".to_owned());
        assert_eq!(of(json!({"pod": pod("overlay-lower-x4k2j")})), open);
        let owner = json!({"owner": pod("overlay-lower-victim-x4k2j")});
        assert_eq!(of(json!({"pod": null, "token": owner})), open);
        assert_eq!(of(json!({"pod": pod("overlay-lower-down-x4k2j")})), None);
        assert_eq!(of(json!({"event": "health"})), None);
    }

    #[test]
    fn a_late_line_fails_the_technique_that_had_passed() {
        let mut results = Results::default();
        let paint = Paint::new(report::Color::Never);
        results.tell(paint, Mark::Passed, "udp", "harmless", "a", &[]);
        results.tell(paint, Mark::Passed, "open", "seen", "b", &[]);
        assert_eq!((results.score().passed, results.score().failed), (2, 0));
        results.tell(paint, Mark::Failed, "udp", "harmless", "late", &[]);
        assert_eq!((results.score().passed, results.score().failed), (1, 1));
    }
}
