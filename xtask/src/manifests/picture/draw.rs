//! SVG by hand: panels, lines, tables. Colours of Okabe and Ito, which also those who see few colours can tell apart.

use std::fmt::Write as _;

use super::series::shown;

const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#555555",
];
const INK: &str = "#1f2430";
const DIM: &str = "#6b7280";
const TITLE: f64 = 26.0;
/// Of a legend's or table's line.
const LINE: f64 = 15.0;
/// Of a letter, roughly.
const LETTER: f64 = 6.7;

/// Where a panel is, in pixels.
pub struct Frame {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

pub struct Canvas {
    svg: String,
    width: f64,
    height: f64,
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            svg: String::new(),
            width,
            height,
        }
    }

    pub fn heading(&mut self, frame: &Frame, text: &str) {
        self.text(
            (frame.x, frame.y + 14.0),
            "start",
            (15.0, "bold", INK),
            text,
        );
    }

    pub fn caption(&mut self, y: f64, text: &str) {
        self.text((16.0, y), "start", (12.5, "normal", DIM), text);
    }

    pub fn panel(&mut self, frame: &Frame, title: &str) {
        let Frame { x, y, w, h } = frame;
        let _ = writeln!(
            self.svg,
            r##"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="3" fill="#ffffff" stroke="#d9dce3"/>"##
        );
        self.text((x + 8.0, y + 17.0), "start", (12.0, "bold", INK), title);
    }

    pub fn number(&mut self, frame: &Frame, text: &str) {
        let at = (frame.x + frame.w / 2.0, frame.y + frame.h / 2.0 + 22.0);
        self.text(at, "middle", (34.0, "bold", COLOURS[0]), text);
    }

    /// The first row is the head. Rows that find no room are counted.
    pub fn table(&mut self, frame: &Frame, rows: &[Vec<String>]) {
        let Some((head, body)) = rows.split_first() else {
            return self.nothing(frame);
        };
        if body.is_empty() {
            return self.nothing(frame);
        }
        let longest: Vec<f64> = (0..head.len())
            .map(|at| {
                let cells = rows.iter().filter_map(|row| row.get(at));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(1) as f64 + 2.0
            })
            .collect();
        let letters: f64 = longest.iter().sum();
        let scale = (frame.w - 16.0) / letters;
        let room = ((frame.h - TITLE - 8.0) / LINE) as usize;
        let fits = body.len() <= room.saturating_sub(1);
        let shown = if fits {
            body.len()
        } else {
            room.saturating_sub(2)
        };
        for (line, row) in std::iter::once(head).chain(&body[..shown]).enumerate() {
            let style = if line == 0 {
                (10.5, "bold", DIM)
            } else {
                (11.0, "normal", INK)
            };
            let y = frame.y + TITLE + LINE * (line as f64 + 0.8);
            let mut x = frame.x + 8.0;
            for (cell, letters) in row.iter().zip(&longest) {
                let width = letters * scale;
                self.text((x, y), "start", style, &cut(cell, width));
                x += width;
            }
        }
        if !fits {
            let y = frame.y + TITLE + LINE * (shown as f64 + 1.8);
            let more = format!("and {} more", body.len() - shown);
            self.text((frame.x + 8.0, y), "start", (10.5, "normal", DIM), &more);
        }
    }

    /// Each series over the time of all of them, from 0.
    pub fn lines(&mut self, frame: &Frame, series: &[(String, Vec<(f64, f64)>)], unit: &str) {
        let all = || series.iter().flat_map(|(_, points)| points);
        let (Some(from), Some(to)) = (
            all().map(|(time, _)| *time).reduce(f64::min),
            all().map(|(time, _)| *time).reduce(f64::max),
        ) else {
            return self.nothing(frame);
        };
        let top = all().map(|(_, value)| *value).fold(0.0, f64::max);
        let top = round_up(top);
        let legend = self.legend(frame, series);
        let left = frame.x + 58.0;
        let (right, above) = (frame.x + frame.w - 10.0, frame.y + TITLE + 6.0);
        let below = frame.y + frame.h - legend - 18.0;
        for part in 0..=2 {
            let value = top * f64::from(part) / 2.0;
            let y = below - (below - above) * f64::from(part) / 2.0;
            let _ = writeln!(
                self.svg,
                r##"<line x1="{left:.1}" y1="{y:.1}" x2="{right:.1}" y2="{y:.1}" stroke="#e8eaef"/>"##
            );
            self.text(
                (left - 5.0, y + 3.5),
                "end",
                (9.5, "normal", DIM),
                &shown(value, unit),
            );
        }
        let span = (to - from).max(1.0);
        self.text((left, below + 12.0), "start", (9.5, "normal", DIM), "0 s");
        let end = format!("{span:.0} s");
        self.text((right, below + 12.0), "end", (9.5, "normal", DIM), &end);
        for (at, (_, points)) in series.iter().enumerate() {
            let places = points.iter().map(|(time, value)| {
                let x = left + (right - left) * (time - from) / span;
                let y = below - (below - above) * (value / top).clamp(0.0, 1.0);
                format!("{x:.1},{y:.1}")
            });
            let path: Vec<String> = places.collect();
            let _ = writeln!(
                self.svg,
                r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="1.6"/>"#,
                path.join(" "),
                COLOURS[at % COLOURS.len()]
            );
        }
    }

    /// Names at the panel's foot, in as many lines as they take, three at most; gives their height.
    fn legend(&mut self, frame: &Frame, series: &[(String, Vec<(f64, f64)>)]) -> f64 {
        let mut lines: Vec<Vec<(usize, String, f64)>> = vec![Vec::new()];
        let mut x = 0.0;
        for (at, (name, _)) in series.iter().enumerate() {
            let name = cut(name, frame.w - 40.0);
            let width = name.chars().count() as f64 * LETTER * 0.85 + 26.0;
            if x + width > frame.w - 16.0 && x > 0.0 {
                if lines.len() == 3 {
                    break;
                }
                lines.push(Vec::new());
                x = 0.0;
            }
            if let Some(line) = lines.last_mut() {
                line.push((at, name, x));
            }
            x += width;
        }
        let height = lines.len() as f64 * LINE;
        for (line, names) in lines.iter().enumerate() {
            let y = frame.y + frame.h - height + LINE * line as f64 + 8.0;
            for (at, name, x) in names {
                let x = frame.x + 10.0 + x;
                let colour = COLOURS[at % COLOURS.len()];
                let _ = writeln!(
                    self.svg,
                    r#"<rect x="{x:.1}" y="{:.1}" width="11" height="3" fill="{colour}"/>"#,
                    y - 5.0
                );
                self.text((x + 15.0, y), "start", (10.0, "normal", INK), name);
            }
        }
        height
    }

    fn nothing(&mut self, frame: &Frame) {
        let at = (frame.x + frame.w / 2.0, frame.y + frame.h / 2.0 + 8.0);
        self.text(at, "middle", (12.0, "normal", DIM), "no data");
    }

    fn text(&mut self, at: (f64, f64), anchor: &str, style: (f64, &str, &str), text: &str) {
        let (size, weight, colour) = style;
        let _ = writeln!(
            self.svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}">{}</text>"#,
            at.0,
            at.1,
            escaped(text)
        );
    }

    pub fn finish(self, title: &str) -> String {
        let Self { svg, width, height } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"DejaVu Sans, Verdana, sans-serif\" role=\"img\">\n<title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#f4f5f8\"/>\n{svg}</svg>\n",
            escaped(title)
        )
    }
}

/// The next number of one digit, or of 1.5 or 2.5, so that half of it is one, too.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps
        .into_iter()
        .find(|step| step * unit >= value * 0.999_999);
    step.unwrap_or(10.0) * unit
}

/// At most so many pixels of it.
fn cut(text: &str, width: f64) -> String {
    let room = (width / LETTER) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[test]
fn axes_end_at_a_round_number() {
    let rounded = [0.0, 0.73, 1.0, 12.0, 2_600.0, f64::NAN].map(round_up);
    assert_eq!(rounded[..5], [1.0, 0.8, 1.0, 15.0, 3_000.0]);
    assert!(rounded[5].is_nan());
}
