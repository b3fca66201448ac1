//! docs/benchmarks.md and its plots.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{machine::Machine, section::Section};

/// Where and how it was measured.
pub struct Run<'a> {
    pub machine: &'a Machine,
    /// The command that repeats the whole run.
    pub command: &'a str,
    pub took_seconds: u64,
}

/// Writes `benchmarks.md` and `benchmarks/*.svg` below a directory.
pub fn write(directory: &Path, run: &Run<'_>, sections: &[Section]) -> Result<()> {
    let pictures = directory.join("benchmarks");
    fs::create_dir_all(&pictures).with_context(|| pictures.display().to_string())?;
    for plot in sections.iter().flat_map(|section| &section.plots) {
        let file = pictures.join(plot.file);
        fs::write(&file, &plot.svg).with_context(|| file.display().to_string())?;
    }
    let file = directory.join("benchmarks.md");
    fs::write(&file, page(run, sections)).with_context(|| file.display().to_string())?;
    println!("{}", file.display());
    Ok(())
}

fn page(run: &Run<'_>, sections: &[Section]) -> String {
    let mut page = format!(
        "# Benchmarks\n\n\
         Written by `{}` in one run of {} minutes; do not edit. Every figure is of this machine at that moment:\n\n{}\n\
         Times on a machine that others use are noisy: what is compared was measured in turns, and minima and medians are given. \
         Instructions that a virtual machine counts are not noisy.\n\n",
        run.command,
        run.took_seconds.div_ceil(60),
        run.machine.markdown()
    );
    page.push_str("## Goals\n\n| Figure | Measured | Goal | | Printed by |\n| --- | ---: | ---: | --- | --- |\n");
    for section in sections {
        for figure in &section.figures {
            let mark = if figure.met == Some(false) {
                "**missed**"
            } else {
                figure.word()
            };
            // write! to a String cannot fail.
            let _ = writeln!(
                page,
                "| {} | {} | {} | {mark} | `cargo xtask bench --only {}` |",
                figure.what, figure.value, figure.goal, section.name
            );
        }
    }
    for section in sections {
        let _ = write!(
            page,
            "\n## {}\n\n`cargo xtask bench --only {}`. {}\n\n",
            section.title, section.name, section.how
        );
        for table in &section.tables {
            page.push_str(&table.markdown());
            page.push('\n');
        }
        for note in &section.notes {
            let _ = writeln!(page, "- {note}");
        }
        for plot in &section.plots {
            let _ = writeln!(page, "\n![{}](benchmarks/{})", plot.about, plot.file);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::section::Figure;

    #[test]
    fn a_missed_goal_stands_out_and_names_its_command() {
        let section = Section {
            name: "burst",
            title: "A burst",
            how: "So.".into(),
            figures: vec![Figure::at_most("delay", 3.0, 2.0, "ms")],
            ..Section::default()
        };
        let machine = Machine::default();
        let run = Run {
            machine: &machine,
            command: "cargo xtask bench",
            took_seconds: 61,
        };
        let page = page(&run, &[section]);
        let row = "| delay | 3 ms | at most 2 ms | **missed** | `cargo xtask bench --only burst` |";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("one run of 2 minutes"));
    }
}
