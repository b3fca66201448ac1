//! Matching opens at a steady pace: few for the delay, some for the processor, very many for the limits.

use anyhow::Result;
use serde_json::Value;

use super::{
    Subject,
    lab::{self, count},
    section::{Figure, Section, Table, number},
};

const DELAY_GOAL_MS: f64 = 5.0;
const CORES_GOAL: f64 = 1.0;
/// The rate and its share that must be reached for the run to count.
const FLOOD: f64 = 200_000.0;
const REACHED: f64 = 0.98;

/// One pace.
struct Pace {
    pods: u32,
    executables: u32,
    rate: f64,
    seconds: f64,
}

fn run(subject: &Subject, pace: &Pace) -> Result<Value> {
    let [pods, executables] = [pace.pods, pace.executables].map(|count| count.to_string());
    let [rate, seconds] = [pace.rate, pace.seconds].map(|number| number.to_string());
    let arguments = [
        "paced",
        "--pods",
        &pods,
        "--executables",
        &executables,
        "--rate",
        &rate,
        "--seconds",
        &seconds,
    ];
    lab::measure(subject, &arguments)
}

/// 100 and 1,000 opens a second of 100 keys.
pub fn pace(subject: &Subject, seconds: f64) -> Result<Section> {
    let at = |rate: f64| Pace {
        pods: 10,
        executables: 10,
        rate,
        seconds,
    };
    let (slow, busy) = (run(subject, &at(100.0))?, run(subject, &at(1_000.0))?);
    let figures = vec![
        Figure::at_most(
            "100 matching events/s: syscall to line, p99",
            lab::number(&slow, "delay_p99"),
            DELAY_GOAL_MS,
            "ms",
        ),
        untold("100 matching events/s: unaccounted for", &slow),
        untold("1,000 matching events/s: unaccounted for", &busy),
    ];
    Ok(Section {
        name: "pace",
        title: "Delay and processor time at a steady pace",
        how: format!(
            "Ten pods with ten executables each open their own tokens at the given rate for {seconds} s. The delay is from the \
             event's time (the kernel's clock, at the hook) to the line's bytes read from the auditor's standard output; \
             processor time is utime + stime of /proc/PID/stat."
        ),
        tables: vec![table(&[("100/s", &slow), ("1,000/s", &busy)])],
        figures,
        ..Section::default()
    })
}

/// 200,000 opens a second of 2,000 keys.
pub fn flood(subject: &Subject, seconds: f64) -> Result<Section> {
    let pace = Pace {
        pods: 200,
        executables: 10,
        rate: FLOOD,
        seconds,
    };
    let flood = run(subject, &pace)?;
    let achieved = lab::number(&flood, "achieved");
    let figures = vec![
        Figure {
            what: "flood: opens a second, of 200,000 asked for".to_owned(),
            value: number(achieved),
            goal: format!("at least {}", number(FLOOD * REACHED)),
            met: Some(achieved >= FLOOD * REACHED),
        },
        untold("flood: unaccounted for", &flood),
        Figure::at_most("flood: events lost", lab::number(&flood, "lost"), 0.0, ""),
        Figure::at_most(
            "flood: the auditor's processor time, cores",
            lab::number(&flood, "cores"),
            CORES_GOAL,
            "",
        ),
    ];
    Ok(Section {
        name: "flood",
        title: "200,000 matching events a second",
        how: format!(
            "200 pods with ten executables each, 2,000 processes, open their own tokens for {seconds} s, 100 times a second each. \
             They and the reader share the processors with the auditor."
        ),
        tables: vec![table(&[("200,000/s", &flood)])],
        figures,
        ..Section::default()
    })
}

/// Neither the lines' count nor `stopped` leaves anything out.
fn untold(what: &str, figures: &Value) -> Figure {
    let off = ["untold", "unaccounted"].map(|key| lab::number(figures, key).abs());
    Figure::at_most(what, off[0] + off[1], 0.0, "events")
}

fn table(columns: &[(&str, &Value)]) -> Table {
    let mut table = Table::default();
    table.header.push(String::new());
    table
        .header
        .extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    let rows = [
        ("opens", "opens"),
        ("opens a second", "achieved"),
        ("lines of opens", "lines"),
        ("folded", "folded"),
        ("announced as lost", "lost"),
        ("told of by none of them", "untold"),
        ("unaccounted for in `stopped`", "unaccounted"),
        ("syscall to line, p50, ms", "delay_p50"),
        ("syscall to line, p99, ms", "delay_p99"),
        ("syscall to line, slowest, ms", "delay_max"),
        ("auditor, cores", "cores"),
        ("resident memory, peak, MiB", "peak_mib"),
    ];
    for (what, key) in rows {
        let mut row = vec![what.to_owned()];
        row.extend(
            columns
                .iter()
                .map(|(_, figures)| number(lab::number(figures, key))),
        );
        table.rows.push(row);
    }
    let keys = |figures: &Value| count(figures, "pods") * count(figures, "executables");
    let mut row = vec!["keys (pod and executable)".to_owned()];
    row.extend(
        columns
            .iter()
            .map(|(_, figures)| number(keys(figures) as f64)),
    );
    table.rows.push(row);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_tells_of_is_a_missed_goal() {
        let figures =
            json!({"untold": 0, "unaccounted": 0, "opens": 7, "pods": 2, "executables": 3});
        assert_eq!(untold("x", &figures).word(), "met");
        assert_eq!(
            untold("x", &json!({"untold": -1, "unaccounted": 0})).word(),
            "missed"
        );
        assert_eq!(untold("x", &json!({})).word(), "not measured");
        let table = table(&[("a", &figures)]);
        assert_eq!(table.rows[0], ["opens", "7"]);
        assert_eq!(table.rows.last().unwrap()[1], "6");
    }
}
