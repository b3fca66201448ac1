//! What an open+close costs more with a tool attached: here in nanoseconds, in a virtual machine in instructions.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Subject, lab,
    section::{Figure, Plot, Section, Table, number},
    svg::{self, Axes},
};
use crate::apt;

/// In the order in which they are shown.
pub const NATIVE: [&str; 8] = [
    "none",
    "empty",
    "auditor",
    "opensnoop",
    "opensnoop.bt",
    "path-compare",
    "fatrace",
    "audit",
];
const PACKAGES: [(&str, &str); 5] = [
    ("bpftrace", "bpftrace"),
    ("opensnoop.bt", "bpftrace"),
    ("opensnoop", "libbpf-tools"),
    ("fatrace", "fatrace"),
    ("auditctl", "auditd"),
];
/// Goals of issue 5: what the auditor adds to an unrelated open, as a share of what opensnoop adds.
const SHARE_SYSCALL: f64 = 0.25;
const SHARE_FENTRY: f64 = 0.15;
/// ... and as a multiple of an empty program on the same hook.
const EMPTY_FENTRY: f64 = 1.5;

/// What each tool is.
fn about(tool: &str) -> &'static str {
    match tool {
        "none" => "no tool",
        "empty" => "empty program, same hook",
        "auditor" => "auditor",
        "opensnoop" => "opensnoop (libbpf-tools)",
        "opensnoop.bt" => "opensnoop.bt (bpftrace)",
        "path-compare" => "path compare (bpftrace)",
        "fatrace" => "fatrace",
        "audit" => "audit watch",
        _ => "?",
    }
}

/// A shorter name, for below a bar.
fn short(tool: &str) -> String {
    match tool {
        "empty" => "empty program".to_owned(),
        "path-compare" => "path compare".to_owned(),
        "audit" => "audit watch".to_owned(),
        other => other.to_owned(),
    }
}

/// What the lab measured of one tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    tool: String,
    skipped: Option<String>,
    /// Minimum and median, of an open+close that concerns nobody and of a token's.
    unrelated: [f64; 2],
    matching: [f64; 2],
    /// The tool's own time for each open of a token, ns, and the lines it printed.
    own: f64,
    lines: f64,
}

pub fn rows(figures: &Value) -> Result<Vec<Row>> {
    let rows = figures.as_array().context("figures of tools are a list")?;
    let row = |row: &Value| {
        let pair = |cell: &Value| [lab::number(cell, "minimum"), lab::number(cell, "median")];
        Row {
            tool: row["tool"].as_str().unwrap_or("?").to_owned(),
            skipped: row["skipped"].as_str().map(str::to_owned),
            unrelated: pair(&row["unrelated"]),
            matching: pair(&row["matching"]),
            own: lab::number(&row["matching"], "tool"),
            lines: lab::number(&row["matching"], "lines"),
        }
    };
    Ok(rows.iter().map(row).collect())
}

/// By the processor time of the one who opens.
pub fn native(subject: &Subject, rounds: u32) -> Result<Section> {
    for (program, package) in PACKAGES {
        if let Err(error) = apt::ensure_program(program, package, "a tool to compare with") {
            println!("{program} will be left out: {error:#}");
        }
    }
    let unrelated = crate::process::workspace().join("Cargo.toml");
    let unrelated = unrelated.to_string_lossy();
    let (tools, rounds) = (NATIVE.join(","), rounds.to_string());
    let arguments = [
        "cost",
        "--tools",
        &tools,
        "--unrelated",
        &unrelated,
        "--rounds",
        &rounds,
        "--opens",
        "10000",
        "--batches",
        "10",
    ];
    let rows = rows(&lab::measure(subject, &arguments)?)?;
    let goals = [
        (None, Some(SHARE_SYSCALL)),
        (Some(EMPTY_FENTRY), Some(SHARE_FENTRY)),
    ];
    let goals = goals[usize::from(subject.backend != "syscall")];
    let where_ = format!("{} backend, this machine", subject.backend);
    let mut section = section(&rows, &where_, "ns", goals);
    section.name = "opens";
    section.title = "Cost of an open+close, natively";
    section.how = format!(
        "Nanoseconds of the opener's own processor time (CLOCK_THREAD_CPUTIME_ID) for one open+close, in batches of 10,000; \
         {rounds} rounds, in each of which every tool is started, measured in both cells and stopped. Unrelated: a process of the \
         host opens a file of the disk. Matching: a pod opens its own token. {} backend. `path compare` is a bpftrace program by \
         hand that compares the path with the kubelet's directory and the tokens' place in containers; audit has one watch on the \
         kubelet's directory, and no auditd to fetch its records. The tool's own time is what its process took beside that, in steps of 10 ms.",
        subject.backend
    );
    section.plots = vec![plot(
        &rows,
        "opens.svg",
        "Added cost of one open+close (medians)",
        "ns",
    )];
    Ok(section)
}

/// The same rows with another unit, of a virtual machine that counts instructions.
pub fn counted(rows: &[Row], kernel: &str) -> Section {
    let goals = (Some(EMPTY_FENTRY), Some(SHARE_FENTRY));
    let mut section = section(rows, "fentry, virtual machine", "instructions", goals);
    section.plots = vec![plot(
        rows,
        "instructions.svg",
        &format!("Added instructions of one open+close, fentry, Linux {kernel} (medians)"),
        "instructions",
    )];
    section
}

type Goals = (Option<f64>, Option<f64>);

fn section(rows: &[Row], place: &str, unit: &str, (empty, share): Goals) -> Section {
    let mut section = Section::default();
    let base = find(rows, "none");
    let mut table = Table::new([
        "tool",
        "unrelated, minimum",
        "median",
        "added, median",
        "matching, minimum",
        "median",
        "added, median",
        "tool's own ns an open",
        "lines an open",
    ]);
    for row in rows {
        if let Some(why) = &row.skipped {
            section
                .notes
                .push(format!("{}: skipped: {why}", about(&row.tool)));
            continue;
        }
        let [[u_min, u_median], [m_min, m_median]] = [row.unrelated, row.matching];
        let added = |median: f64, base: Option<f64>| base.map_or(f64::NAN, |base| median - base);
        let shown = [
            u_min,
            u_median,
            added(u_median, base.map(|base| base.unrelated[1])),
            m_min,
            m_median,
            added(m_median, base.map(|base| base.matching[1])),
            row.own,
            row.lines,
        ];
        let mut cells = vec![about(&row.tool).to_owned()];
        cells.extend(shown.map(number));
        table.rows.push(cells);
    }
    section.tables.push(table);
    section.notes.insert(0, format!("times in {unit}"));
    if let Some(goal) = empty {
        let what =
            format!("unrelated open+close, auditor / empty program on the same hook ({place})");
        section.figures.push(ratio(rows, &what, "empty", goal));
    }
    if let Some(goal) = share {
        for tool in ["opensnoop", "opensnoop.bt"] {
            if rows.iter().any(|row| row.tool == tool) {
                let what = format!("unrelated open+close, auditor / {tool} ({place})");
                section.figures.push(ratio(rows, &what, tool, goal));
            }
        }
    }
    section
}

fn find<'a>(rows: &'a [Row], tool: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.tool == tool && row.skipped.is_none())
}

/// What the auditor adds to an unrelated open, by what another adds: of medians.
fn ratio(rows: &[Row], what: &str, other: &str, goal: f64) -> Figure {
    let added =
        |tool: &str| Some(find(rows, tool)?.unrelated[1] - find(rows, "none")?.unrelated[1]);
    match (added("auditor"), added(other)) {
        // Less than nothing is noise, and the share of it says nothing.
        (Some(auditor), Some(other)) if other > 0.0 => {
            Figure::at_most(what, auditor / other, goal, "")
        }
        (Some(_), Some(_)) => {
            Figure::unmeasured(what, &format!("at most {goal}"), "within the noise")
        }
        _ => {
            let skipped = rows.iter().find(|row| row.tool == other);
            let why = skipped
                .and_then(|row| row.skipped.as_deref())
                .unwrap_or("not run");
            Figure::unmeasured(what, &format!("at most {goal}"), why)
        }
    }
}

fn plot(rows: &[Row], file: &'static str, title: &str, unit: &str) -> Plot {
    let base = find(rows, "none");
    let shown: Vec<&Row> = rows.iter().filter(|row| row.tool != "none").collect();
    let categories: Vec<_> = shown.iter().map(|row| short(&row.tool)).collect();
    let added = |of: fn(&Row) -> f64| -> Vec<Option<f64>> {
        let base = base.map_or(f64::NAN, of);
        let added = shown.iter().map(|row| of(row) - base);
        added
            .map(|added| added.is_finite().then_some(added))
            .collect()
    };
    let series = [
        ("unrelated opens", added(|row| row.unrelated[1])),
        ("matching opens", added(|row| row.matching[1])),
    ];
    let y = format!("added {unit} per open+close");
    let axes = Axes {
        title,
        x: "tool attached",
        y: &y,
    };
    Plot {
        file,
        about: "What each tool adds to one open+close: bars for unrelated and for matching opens",
        svg: svg::bars(&axes, &categories, &series),
    }
}

#[cfg(test)]
mod tests;
