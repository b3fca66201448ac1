//! Plots as SVG, written by hand: bars of a few series, and points or lines over an axis. Colours are of Okabe and Ito, which also
//! those who see few colours can tell apart.

use std::fmt::Write as _;

use super::section::number;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
/// Around the plot's area: left, right, top, bottom.
const LEFT: f64 = 86.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 66.0;
const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];
const GOAL: &str = "#d55e00";

/// Names of the axes, units included.
pub struct Axes<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
}

/// A series of bars: its name, and a value for each category; none where there is none.
pub type Bars<'a> = (&'a str, Vec<Option<f64>>);

/// A series of points: its name, and x and y of each.
pub type Points<'a> = (&'a str, Vec<(f64, f64)>);

/// Groups of bars. Values below 0 are drawn as 0; each bar has its number above it.
pub fn bars(axes: &Axes<'_>, categories: &[String], series: &[Bars<'_>]) -> String {
    let values = series
        .iter()
        .flat_map(|(_, values)| values.iter().flatten());
    let top = round_up(values.copied().fold(0.0, f64::max));
    let mut svg = frame(
        axes,
        top,
        &names(series.iter().map(|(name, _)| *name), None),
    );
    let group = (WIDTH - LEFT - RIGHT) / categories.len().max(1) as f64;
    let bar = group * 0.8 / series.len().max(1) as f64;
    for (at, category) in categories.iter().enumerate() {
        let from = LEFT + group * at as f64;
        text(
            &mut svg,
            (from + group / 2.0, HEIGHT - BOTTOM + 18.0),
            "middle",
            12,
            category,
        );
        for (index, (_, values)) in series.iter().enumerate() {
            let x = from + group * 0.1 + bar * index as f64;
            let Some(value) = values.get(at).copied().flatten() else {
                text(
                    &mut svg,
                    (x + bar / 2.0, HEIGHT - BOTTOM - 6.0),
                    "middle",
                    11,
                    "-",
                );
                continue;
            };
            let y = y_of(value.max(0.0), top);
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{}"/>"#,
                bar * 0.94,
                HEIGHT - BOTTOM - y,
                colour(index)
            );
            text(
                &mut svg,
                (x + bar / 2.0, y - 5.0),
                "middle",
                11,
                &number(value),
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Points over a numeric axis, joined where `joined`; `goal` is a line across, and its name.
pub fn points(
    axes: &Axes<'_>,
    series: &[Points<'_>],
    joined: bool,
    goal: Option<(f64, &str)>,
) -> String {
    let all = || series.iter().flat_map(|(_, points)| points);
    let goal_value = goal.map_or(0.0, |(value, _)| value);
    let top = round_up(all().map(|(_, y)| *y).fold(goal_value, f64::max));
    let right = round_up(all().map(|(x, _)| *x).fold(0.0, f64::max));
    let legend = names(
        series.iter().map(|(name, _)| *name),
        goal.map(|(_, name)| name),
    );
    let mut svg = frame(axes, top, &legend);
    let x_of = |x: f64| LEFT + (WIDTH - LEFT - RIGHT) * x / right;
    for tick in 0..=5 {
        let value = right * f64::from(tick) / 5.0;
        text(
            &mut svg,
            (x_of(value), HEIGHT - BOTTOM + 18.0),
            "middle",
            12,
            &tick_name(value),
        );
    }
    if let Some((value, _)) = goal {
        let y = y_of(value, top);
        let _ = writeln!(
            svg,
            r#"<line x1="{LEFT}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="{GOAL}" stroke-width="2" stroke-dasharray="7 4"/>"#,
            WIDTH - RIGHT
        );
    }
    for (index, (_, points)) in series.iter().enumerate() {
        let places = points.iter().map(|(x, y)| (x_of(*x), y_of(*y, top)));
        if joined {
            let path: Vec<_> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>"#,
                path.join(" "),
                colour(index)
            );
        } else {
            for (x, y) in places {
                let _ = writeln!(
                    svg,
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{}"/>"#,
                    colour(index)
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Title, legend, names of the axes, and lines across at the ticks of y.
fn frame(axes: &Axes<'_>, top: f64, legend: &[(String, &str)]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" role=\"img\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(axes.title)
    );
    text(&mut svg, (WIDTH / 2.0, 26.0), "middle", 17, axes.title);
    let mut x = LEFT;
    for (name, colour) in legend {
        let _ = writeln!(
            svg,
            r#"<rect x="{x:.1}" y="42" width="13" height="13" fill="{colour}"/>"#
        );
        text(&mut svg, (x + 19.0, 53.0), "start", 12, name);
        x += 46.0 + 7.2 * name.chars().count() as f64;
    }
    for tick in 0..=5 {
        let value = top * f64::from(tick) / 5.0;
        let y = y_of(value, top);
        let grey = if tick == 0 { "#333333" } else { "#dddddd" };
        let _ = writeln!(
            svg,
            r#"<line x1="{LEFT}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="{grey}"/>"#,
            WIDTH - RIGHT
        );
        text(
            &mut svg,
            (LEFT - 8.0, y + 4.0),
            "end",
            12,
            &tick_name(value),
        );
    }
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let _ = writeln!(
        svg,
        r#"<text x="20" y="{middle:.1}" font-size="13" text-anchor="middle" transform="rotate(-90 20 {middle:.1})">{}</text>"#,
        escaped(axes.y)
    );
    text(
        &mut svg,
        ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 16.0),
        "middle",
        13,
        axes.x,
    );
    svg
}

fn names<'a>(
    series: impl Iterator<Item = &'a str>,
    goal: Option<&str>,
) -> Vec<(String, &'static str)> {
    let series = series
        .enumerate()
        .map(|(at, name)| (name.to_owned(), colour(at)));
    series
        .chain(goal.map(|name| (name.to_owned(), GOAL)))
        .collect()
}

fn colour(index: usize) -> &'static str {
    COLOURS
        .get(index % COLOURS.len())
        .copied()
        .unwrap_or("#000000")
}

/// Without zeroes that say nothing: `0.6`.
fn tick_name(value: f64) -> String {
    let shown = number(value);
    match shown.contains('.') {
        true => shown.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => shown,
    }
}

fn y_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: u32, what: &str) {
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}">{}</text>"#,
        escaped(what)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The next of 1, 1.5, 2, 2.5, 3, 4, 5, 7.5 times a power of ten: a fifth of it is a number that one can read.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0];
    let found = steps.into_iter().find(|step| step * power >= value);
    found.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests;
