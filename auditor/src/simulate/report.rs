//! What is told of scenes: before (`--list`, `plan`) and after they were played.

use std::{fmt::Write as _, iter};

use serde::Serialize;
use serde_json::json;

use super::{Announced, NOT_SIMULATED, Place, Refusal, Scene, scenes::SCENES};
use crate::plain::one_line;

/// `auditor simulate run --output json`.
#[derive(Debug, Serialize)]
pub struct Report {
    pub namespace: String,
    /// Of the pod that they were played in.
    pub component: String,
    pub scenes: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Done,
    Refused,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub scene: &'static str,
    pub state: State,
    /// Why it was refused, or what there is to say of how it went.
    pub note: Option<String>,
    /// Nothing where it was refused.
    pub announces: Vec<Announced>,
}

impl Row {
    pub(super) fn new(
        scene: &'static Scene,
        place: &Place,
        played: Result<Option<String>, Refusal>,
    ) -> Self {
        let (state, note, announces) = match played {
            Ok(note) => (State::Done, note, Announced::all([scene], &place.namespace)),
            Err(refusal) => (State::Refused, Some(refusal.to_string()), Vec::new()),
        };
        Self {
            scene: scene.name,
            state,
            note,
            announces,
        }
    }

    fn cells(&self) -> Vec<[String; 6]> {
        let state = match self.state {
            State::Done => "done",
            State::Refused => "refused",
        };
        let first = [self.scene, state].map(str::to_owned);
        rows(&first, &self.announces)
    }
}

impl Report {
    pub(super) fn new(place: &Place, scenes: Vec<Row>) -> Self {
        Self {
            namespace: place.namespace.clone(),
            component: place.component.clone(),
            scenes,
        }
    }

    /// All that was asked for was played.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.scenes.iter().all(|row| row.state == State::Done)
    }

    /// The table that a Job's log ends with.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "played in the namespace {} by {}\n",
            one_line(&self.namespace),
            one_line(&self.component)
        );
        for row in &self.scenes {
            if let Some(note) = &row.note {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}: {}", row.scene, one_line(note));
            }
        }
        text.push('\n');
        let title = ["SCENE", "STATE", "ALERT", "FINDING", "BY WHOM", "WITHIN"];
        let cells: Vec<_> = self.scenes.iter().flat_map(Row::cells).collect();
        text + &table(iter::once(title.map(str::to_owned)).chain(cells))
    }
}

/// A line for each alert; the first columns stand in the first of them only. Where nothing is to fire, one that says so.
fn rows(first: &[String; 2], announced: &[Announced]) -> Vec<[String; 6]> {
    let [scene, second] = first.clone();
    if announced.is_empty() {
        let nothing = ["none", "-", "-", "-"].map(str::to_owned);
        let [alert, finding, who, within] = nothing;
        return vec![[scene, second, alert, finding, who, within]];
    }
    let lines = announced.iter().enumerate();
    lines
        .map(|(index, one)| {
            let [scene, second] = match index {
                0 => first.clone(),
                _ => Default::default(),
            };
            let within = minutes(one.within_seconds);
            [
                scene,
                second,
                one.alert.to_owned(),
                one.finding(),
                one.who(),
                within,
            ]
        })
        .collect()
}

pub(super) fn minutes(seconds: u64) -> String {
    format!("{} min", seconds.div_ceil(60))
}

/// Columns side by side.
pub(super) fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| one_line(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `auditor simulate --list`
#[must_use]
pub fn list() -> String {
    let title = [
        "SCENE",
        "PLAYED BY",
        "ALERT",
        "FINDING",
        "BY WHOM",
        "WITHIN",
    ];
    let cells: Vec<_> = SCENES
        .iter()
        .flat_map(|scene| {
            let first = [scene.name, scene.actor.name()].map(str::to_owned);
            rows(&first, &Announced::all([scene], ""))
        })
        .collect();
    table(iter::once(title.map(str::to_owned)).chain(cells))
}

/// `auditor simulate plan`: all that there is to know before.
#[must_use]
pub fn plan_text(scenes: &[&'static Scene], namespace: &str) -> String {
    let mut text = String::new();
    for scene in scenes {
        let mut lines = vec![
            ("played by", scene.actor.name().to_owned()),
            ("what", scene.what.to_owned()),
            ("harmless", scene.harmless.to_owned()),
            ("needs", scene.needs.to_owned()),
        ];
        let announced = Announced::all([*scene], namespace);
        for one in &announced {
            let hook = one.hook.map_or_else(String::new, |hook| {
                format!(", where the hook {hook} is watched")
            });
            lines.push((
                "fires",
                format!(
                    "{} ({}) for {namespace}/{} within {}{hook}",
                    one.alert,
                    one.finding(),
                    one.who(),
                    minutes(one.within_seconds)
                ),
            ));
        }
        if announced.is_empty() {
            lines.push(("fires", "nothing".to_owned()));
        }
        text.push_str(scene.name);
        text.push('\n');
        for (name, value) in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<10} {}", one_line(&value));
        }
        text.push('\n');
    }
    text.push_str("not simulated\n");
    for (alert, why) in NOT_SIMULATED {
        let _ = writeln!(text, "  {alert:<28} {why}");
    }
    text
}

/// `auditor simulate plan --output json`
#[must_use]
pub fn plan_json(scenes: &[&'static Scene], namespace: &str) -> serde_json::Value {
    let scenes: Vec<_> = scenes
        .iter()
        .map(|scene| {
            json!({
                "scene": scene.name, "actor": scene.actor, "what": scene.what, "harmless": scene.harmless,
                "needs": scene.needs, "announces": Announced::all([*scene], namespace),
            })
        })
        .collect();
    let not: Vec<_> = NOT_SIMULATED
        .iter()
        .map(|(alert, why)| json!({"alert": alert, "why": why}))
        .collect();
    json!({"namespace": namespace, "scenes": scenes, "not_simulated": not})
}
