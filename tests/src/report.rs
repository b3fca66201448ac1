//! What a human sees of a run.

use std::io::IsTerminal;

use clap::ValueEnum;
use serde_json::Value;

use crate::expect::facts;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// How a scene went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Passed,
    Failed,
    Skipped,
}

/// Paints for a terminal, or not.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    pub fn new(color: Color) -> Self {
        Self(match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
            }
        })
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn verdict(self, verdict: &str) -> String {
        let code = match verdict {
            "violation" => "1;31",
            "suspicious" => "33",
            "undetermined" => "35",
            _ => "32",
        };
        self.with(code, &verdict.to_uppercase())
    }
}

/// One line a scene: whether it is as it should be, what happened, what the auditor said.
pub fn scene(paint: Paint, mark: Mark, name: &str, about: &str, lines: &[Value]) -> String {
    let said = counted(lines.iter().map(|line| said(paint, line)));
    let said = if said.is_empty() {
        paint.dim("nothing")
    } else {
        said.join(", ")
    };
    format!(
        "{} {} {said}",
        step(paint, mark, name, about),
        paint.dim("=>")
    )
}

/// What happened and whether it is as it should be, where no single lines tell of it.
pub fn step(paint: Paint, mark: Mark, name: &str, about: &str) -> String {
    let mark = match mark {
        Mark::Passed => paint.good("ok  "),
        Mark::Failed => paint.bad("FAIL"),
        Mark::Skipped => paint.dim("skip"),
    };
    format!("{mark} {name:<30} {about}")
}

/// Many of the same are told once, with their number; few stay as they came.
fn counted(said: impl Iterator<Item = String>) -> Vec<String> {
    let said: Vec<String> = said.collect();
    if said.len() <= 6 {
        return said;
    }
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for what in said {
        match kinds.iter_mut().find(|(kind, _)| *kind == what) {
            Some((_, count)) => *count += 1,
            None => kinds.push((what, 1)),
        }
    }
    let told = |(kind, count): (String, usize)| match count {
        1 => kind,
        _ => format!("{kind} ({count} times)"),
    };
    kinds.into_iter().map(told).collect()
}

fn said(paint: Paint, line: &Value) -> String {
    let facts = facts(line);
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    let what = match fact("event") {
        "token_open" => format!("open {} {}", fact("kind"), fact("relation")),
        "credential_connect" => format!("connect {}", fact("outcome")),
        "connection_closed" => "closed".to_owned(),
        other => other.to_owned(),
    };
    let findings: Vec<&str> = fact("findings")
        .split(' ')
        .filter(|f| !f.is_empty())
        .collect();
    let findings = if findings.is_empty() {
        String::new()
    } else {
        format!(" [{}]", findings.join(", "))
    };
    format!("{what} {}{findings}", paint.verdict(fact("verdict")))
}
