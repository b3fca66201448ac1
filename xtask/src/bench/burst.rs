//! A burst of one pod's opens of its own token, while another pod steals one.

use anyhow::Result;
use serde_json::Value;

use super::{
    Subject,
    lab::{self, count},
    section::{Figure, Plot, Section, Table, number},
    svg::{self, Axes},
};

const THEFT_GOAL_MS: f64 = 100.0;
const DELAY_GOAL_MS: f64 = 50.0;
const PEAK_GOAL_MIB: f64 = 64.0;

pub fn measure(subject: &Subject, runs: u32, opens: u64) -> Result<Section> {
    let (runs, opens) = (runs.to_string(), opens.to_string());
    let arguments = ["burst", "--runs", &runs, "--opens", &opens];
    Ok(section(&lab::measure(subject, &arguments)?))
}

fn section(figures: &Value) -> Section {
    let number_of = |key: &str| lab::number(figures, key);
    let (runs, opens) = (count(figures, "runs"), count(figures, "opens"));
    let mut table = Table::new(["", "measured"]);
    for (what, value) in [
        ("runs", runs as f64),
        ("opens in a run", opens as f64),
        ("opens a second, median", number_of("opens_per_second")),
        ("lines, all runs", number_of("lines")),
        ("opens announced as lost, all runs", number_of("lost")),
        ("share of the opens that is lost", number_of("lost_share")),
        (
            "runs with lines + folded + lost = opens",
            number_of("totals_accounted"),
        ),
        ("thefts reported", number_of("thefts_reported")),
        ("thefts reported complete", number_of("thefts_complete")),
        (
            "theft, syscall to line, median, ms",
            number_of("theft_ms_p50"),
        ),
        (
            "theft, syscall to line, slowest, ms",
            number_of("theft_ms_max"),
        ),
        ("every open's line, p50, ms", number_of("delay_p50")),
        ("every open's line, p99, ms", number_of("delay_p99")),
        ("resident memory, peak, MiB", number_of("peak_mib")),
        (
            "matched events unaccounted for in `stopped`",
            number_of("unaccounted"),
        ),
        (
            "numbers that `seq` leaves out and no line explains",
            number_of("holes"),
        ),
    ] {
        table.row([what.to_owned(), number(value)]);
    }
    let figures_with_goals = vec![
        Figure::all(
            "burst: theft reported, complete, within 100 ms, runs",
            count(figures, "thefts_in_time"),
            runs,
        ),
        Figure::all(
            "burst: total exact (lines + folded = opens), runs",
            count(figures, "totals_exact"),
            runs,
        ),
        Figure::at_most("burst: events lost", number_of("lost"), 0.0, ""),
        Figure::at_most(
            "burst: syscall to line, p99",
            number_of("delay_p99"),
            DELAY_GOAL_MS,
            "ms",
        ),
        Figure::at_most(
            "burst: resident memory, peak",
            number_of("peak_mib"),
            PEAK_GOAL_MIB,
            "MiB",
        ),
        Figure::at_most(
            "burst: unaccounted for",
            number_of("unaccounted").abs(),
            0.0,
            "events",
        ),
    ];
    Section {
        name: "burst",
        title: "A burst of opens, and a theft in it",
        how: format!(
            "One pod opens its own token {} times as fast as it goes; meanwhile another pod opens a third one's token once. The \
             theft's delay is from before its open (the thief's clock) to the line's bytes read from the auditor's standard \
             output, by a reader on the same processors.",
            number(opens as f64)
        ),
        tables: vec![table],
        figures: figures_with_goals,
        plots: vec![plot(figures)],
        notes: Vec::new(),
    }
}

fn plot(figures: &Value) -> Plot {
    let each = figures["each"].as_array().into_iter().flatten();
    let delays = each.enumerate().filter_map(|(at, run)| {
        let run_number = at as f64 + 1.0;
        Some((run_number, run["theft_ms"].as_f64()?))
    });
    let series = [("theft in a burst", delays.collect())];
    let axes = Axes {
        title: "A theft during a burst: from the system call to the line",
        x: "run (one without a point: no line came)",
        y: "delay, ms",
    };
    Plot {
        file: "burst.svg",
        about: "The delay of each run's theft, and the goal of 100 ms",
        svg: svg::points(&axes, &series, false, Some((THEFT_GOAL_MS, "goal: 100 ms"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_theft_that_never_came_is_a_missed_goal() {
        let figures = json!({
            "runs": 2, "opens": 10, "thefts_in_time": 1, "totals_exact": 2, "lost": 0, "delay_p99": 1.0, "peak_mib": 20.0,
            "unaccounted": -1, "each": [{"theft_ms": 3.0}, {"theft_ms": null}],
        });
        let section = section(&figures);
        let words: Vec<_> = section.figures.iter().map(Figure::word).collect();
        assert_eq!(words, ["missed", "met", "met", "met", "met", "missed"]);
        assert_eq!(section.plots[0].svg.matches("<circle").count(), 1);
    }
}
