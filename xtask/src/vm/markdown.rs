//! The matrix as Markdown, made to be read in docs/threat-model.md between two marks.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{
    console::EVADE,
    matrix::{LEGEND, Matrix},
};

const BEGIN: &str = "<!-- matrix -->";
const END: &str = "<!-- /matrix -->";

/// One row a technique, one column a kernel, architecture and backend; then what the words mean, and what was counted,
/// skipped and refused.
pub fn table(matrix: &Matrix) -> String {
    let headings = matrix.headings(EVADE);
    let rows = matrix.rows(EVADE);
    let mut text = String::new();
    if rows.is_empty() {
        text.push_str("No technique of the corpus was played.\n");
    } else {
        let columns: Vec<_> = headings
            .iter()
            .map(|heading| {
                let guest = heading.guest.replace(' ', "<br>");
                format!("{guest}<br>{}", heading.column.backend)
            })
            .collect();
        text.push_str(&format!("| Technique | {} |\n", columns.join(" | ")));
        text.push_str(&format!("|---|{}\n", ":-:|".repeat(columns.len())));
        for row in &rows {
            let about = match matrix.about(row) {
                Some(about) => escaped(about),
                None => format!("`{}`", row.1),
            };
            let cells: Vec<_> = headings.iter().map(|heading| heading.shown(row)).collect();
            text.push_str(&format!("| {about} | {} |\n", cells.join(" | ")));
        }
        text.push_str(&format!("\n{}.\n", escaped(LEGEND)));
    }
    text.push_str(&format!(
        "\n{} techniques on {} columns: {}.",
        rows.len(),
        headings.len(),
        matrix.totals(EVADE)
    ));
    let scenes = matrix.rows("play");
    if !scenes.is_empty() {
        text.push_str(&format!(
            " {} scenes on {}: {}.",
            scenes.len(),
            matrix.headings("play").len(),
            matrix.totals("play")
        ));
    }
    text.push('\n');
    let notes: Vec<_> = matrix
        .skips()
        .into_iter()
        .chain(matrix.refusals())
        .collect();
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        text.push_str(&format!("- {}\n", escaped(&note)));
    }
    text
}

/// Text that is neither a column's end nor HTML.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Whether [`write`] will be able to, before the guests take their time.
///
/// # Errors
/// As of [`write`].
pub fn check(file: &Path) -> Result<()> {
    replaced(file, "").map(drop)
}

/// Writes `table` between the marks of a file that has them, or a new file.
///
/// # Errors
/// When the file has not each mark once and in order, or cannot be read or written.
pub fn write(file: &Path, table: &str) -> Result<()> {
    let text = replaced(file, table)?;
    fs::write(file, text).with_context(|| file.display().to_string())
}

fn replaced(file: &Path, table: &str) -> Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => between(&text, table).with_context(|| file.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(table.to_owned()),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

/// `text` with `table` between its marks, or only `table` where it has none.
fn between(text: &str, table: &str) -> Result<String> {
    match (text.matches(BEGIN).count(), text.matches(END).count()) {
        (0, 0) => return Ok(table.to_owned()),
        (1, 1) => {}
        (begins, ends) => {
            bail!(
                "it has {BEGIN} {begins} times and {END} {ends} times; each must stand there once"
            )
        }
    }
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("{END} stands before {BEGIN}"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::matrix::tests::matrix;

    #[test]
    fn a_row_a_technique_and_a_summary() {
        let text = table(&matrix());
        assert!(text.starts_with(
            "| Technique | 6.12<br>x86_64<br>kprobe | 6.1<br>aarch64<br>fentry |\n|---|:-:|:-:|\n\
            | (F01) openat2 \\| beneath | seen | refused |\n"
        ));
        assert!(!text.contains("own-irsa | "));
        assert!(text.contains(
            "\n3 techniques on 2 columns: 1 seen, 1 not-seen, 1 skip, 3 refused. \
            2 scenes on 3: 1 ok, 1 FAIL, 1 skip, 2 refused, 1 not played.\n"
        ));
        assert!(text.contains("\n- int80 skipped: no ia32 (6.12 x86_64 kprobe)\n"));
        assert!(text.ends_with(
            "\n- 6.1 aarch64 program open_denied refused: Invalid argument: too many\n"
        ));
    }

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let text = format!("# Head\n{BEGIN}\nold\n{END}\ntail\n");
        let new = between(&text, "| new |\n").unwrap();
        assert_eq!(new, format!("# Head\n{BEGIN}\n| new |\n{END}\ntail\n"));
        assert_eq!(between(&new, "| new |\n").unwrap(), new);
    }

    #[test]
    fn a_mark_alone_or_twice_or_late_is_an_error() {
        for text in [
            format!("{BEGIN}\n"),
            format!("{END}\n"),
            format!("{BEGIN}{BEGIN}{END}"),
            format!("{END}\n{BEGIN}\n"),
        ] {
            assert!(between(&text, "x").is_err(), "{text}");
        }
        let error = between(BEGIN, "x").unwrap_err().to_string();
        assert!(error.contains("/matrix --> 0 times"), "{error}");
    }

    #[test]
    fn a_file_is_written_whole_where_it_has_no_marks() {
        let name = format!("xtask-markdown-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        check(&file).unwrap();
        assert!(!file.exists());
        write(&file, "one\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n");
        write(&file, &format!("{BEGIN}\n{END}\n")).unwrap();
        write(&file, "two\n").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, BEGIN).unwrap();
        let alone = (check(&file), write(&file, "three\n"));
        let kept = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(text, format!("{BEGIN}\ntwo\n{END}\n"));
        assert!(alone.0.is_err() && alone.1.is_err());
        assert_eq!(kept, BEGIN);
    }
}
