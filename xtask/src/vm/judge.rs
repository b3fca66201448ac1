//! What a guest's columns show that no row's result tells.

use super::{
    Args, Backend,
    console::{Column, Console},
    guest::Target,
};

/// What is wrong with the console of `target`, a sentence each.
pub fn judge(target: Target, console: &Console, args: &Args) -> Vec<String> {
    let columns = console.columns();
    let mut notes: Vec<String> = columns
        .iter()
        .flat_map(|column| of_column(target, column))
        .collect();
    for (index, Column { backend, .. }) in columns.iter().enumerate() {
        let wordless = console.wordless(index);
        if !wordless.is_empty() {
            let names = wordless.join(", ");
            notes.push(format!("{backend}: no word of what is seen of {names}"));
        }
    }
    for job in console.jobs() {
        let Some(column) = job.column.and_then(|index| columns.get(index)) else {
            continue;
        };
        let (backend, name) = (&column.backend, job.name());
        match job.told {
            // It says by its exit status how it went.
            None if name == "check" => {}
            None => notes.push(format!("{backend}: `lab {name}` did not end")),
            Some(told) if !job.is_whole() => notes.push(format!(
                "{backend}: `lab {name}` counts {told}, but the console's rows are {}: a torn line?",
                job.rows
            )),
            Some(_) if column.refused.is_some() && !job.refused => notes.push(format!(
                "{backend}: `lab {name}` is not refused, others are"
            )),
            _ => {}
        }
    }
    // A guest's kernel refuses nothing that a node's allows.
    notes.extend(
        console
            .helped()
            .map(|helped| format!("not as on a node: {helped}")),
    );
    let wanted = if args.probes {
        0
    } else {
        args.backends(target.line).len() + 1
    };
    if columns.len() != wanted {
        notes.push(format!("{} of {wanted} backends were tried", columns.len()));
    }
    notes
}

fn of_column(target: Target, column: &Column) -> Vec<String> {
    let Column {
        backend,
        refused,
        chosen,
    } = column;
    let mut notes = Vec::new();
    let known = Backend::ALL
        .into_iter()
        .find(|known| known.name() == backend);
    let expected = known.and_then(|known| target.line.refusal(target.arch, known));
    match (refused, expected) {
        (Some(why), None) => notes.push(format!("{backend} is refused: {why}")),
        (Some(why), Some(reason)) if !why.contains(reason) => notes.push(format!(
            "{backend} is refused, but not for {reason:?}: {why}"
        )),
        (None, Some(reason)) if !target.line.best_effort => notes.push(format!(
            "{backend} is not refused, as it was to be ({reason})"
        )),
        _ => {}
    }
    if known.is_none() && chosen.is_empty() {
        // Only checked, not played.
        return notes;
    }
    let wanted = match (known, target.best()) {
        (Some(known), _) => known.name(),
        (None, Some(best)) => best.name(),
        // Whatever it finds.
        (None, None) => return notes,
    };
    let right = match (chosen.len(), refused) {
        (0, Some(_)) => true,
        (count, _) => count == 1 && chosen.contains(wanted),
    };
    if !right {
        let by: Vec<_> = chosen.iter().map(String::as_str).collect();
        let by = if by.is_empty() {
            "nothing".to_owned()
        } else {
            by.join(" and ")
        };
        notes.push(format!(
            "--backend {backend} watches opens by {by}, not by {wanted}"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vm::{arch::Arch, kernels};

    fn target(name: &str, arch: Arch) -> Target {
        let line = kernels::lines(&[name.to_owned()]).unwrap()[0];
        Target { line, arch }
    }

    fn judged(name: &str, arch: Arch, text: &str) -> Vec<String> {
        let mut console = Console::default();
        text.lines()
            .for_each(|line| console.line(line, Duration::ZERO));
        let args = Args {
            backend: vec![Backend::Fentry, Backend::Kprobe],
            ..Args::default()
        };
        judge(target(name, arch), &console, &args)
    }

    const KPROBE_TAKES_OVER: &str = "guest: lab play --backend auto\n\
        auditor 0.1.0 on 6.1: connect by kprobe, file_open by kprobe\n\
        ok   own-irsa  opens\n\
        1 passed, 0 failed\n\
        guest: lab play --backend fentry\n\
        refused fentry: no way to watch file_open works on this kernel: fentry: os error 524\n\
        0 passed, 0 failed, 1 skipped\n\
        guest: lab play --backend kprobe\n\
        auditor 0.1.0 on 6.1: connect by kprobe, file_open by kprobe\n\
        ok   own-irsa  opens\n\
        1 passed, 0 failed\n";

    #[test]
    fn a_refusal_is_right_only_where_it_is_expected() {
        let arm64 = Arch::Aarch64;
        assert!(judged("6.1", arm64, KPROBE_TAKES_OVER).is_empty());
        let notes = judged("6.12", arm64, KPROBE_TAKES_OVER);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("by kprobe, not by fentry"));
        assert!(notes[1].contains("os error 524"));
    }

    #[test]
    fn a_refusal_for_another_reason_or_none_is_wrong() {
        let other = KPROBE_TAKES_OVER.replace("os error 524", "Permission denied (os error 1)");
        let notes = judged("6.1", Arch::Aarch64, &other);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("not for"));
        let (before, after) = KPROBE_TAKES_OVER.split_once("refused fentry").unwrap();
        let (_, after) = after.split_once("1 skipped\n").unwrap();
        let runs = "auditor 0.1.0 on 6.1: file_open by fentry\nok   a b\n1 passed, 0 failed\n";
        let notes = judged("6.1", Arch::Aarch64, &format!("{before}{runs}{after}"));
        assert_eq!(
            notes,
            ["fentry is not refused, as it was to be (os error 524)"]
        );
    }

    #[test]
    fn a_forced_backend_must_be_the_one_that_watches() {
        let text = KPROBE_TAKES_OVER.replace(
            "refused fentry: no way to watch file_open works on this kernel: fentry: os error 524\n\
            0 passed, 0 failed, 1 skipped\n",
            "auditor 0.1.0 on 6.12: connect by fentry, file_open by fentry\n\
            auditor 0.1.0 on 6.12: connect by fentry, file_open by syscall\n\
            ok   own-irsa  opens\n\
            1 passed, 0 failed\n",
        );
        let text = text.replacen("file_open by kprobe", "file_open by fentry", 1);
        assert_eq!(
            judged("6.12", Arch::X86_64, &text),
            ["--backend fentry watches opens by fentry and syscall, not by fentry"]
        );
        let right = text.replace("file_open by syscall", "file_open by fentry");
        assert!(judged("6.12", Arch::X86_64, &right).is_empty());
    }

    #[test]
    fn a_backend_that_was_not_tried_is_noted() {
        let text = "guest: lab play --backend auto\nauditor 1 on 6: file_open by fentry\n";
        assert_eq!(
            judged("6.1", Arch::X86_64, text),
            ["auto: `lab play` did not end", "1 of 3 backends were tried"]
        );
    }

    #[test]
    fn a_technique_without_a_word_is_noted() {
        let text = |word: &str| {
            let evade = format!("guest: lab evade --backend kprobe\nok   open  {word} (F01) x\n");
            format!("{KPROBE_TAKES_OVER}{evade}1 passed, 0 failed\n")
        };
        assert!(judged("6.1", Arch::Aarch64, &text("seen")).is_empty());
        assert_eq!(
            judged("6.1", Arch::Aarch64, &text("")),
            ["kprobe: no word of what is seen of open"]
        );
    }

    #[test]
    fn a_container_that_was_helped_is_noted() {
        let helped = format!("{KPROBE_TAKES_OVER}not as on a node: a mount\n");
        let notes = judged("6.1", Arch::Aarch64, &helped);
        assert_eq!(notes, ["not as on a node: a mount"]);
    }

    #[test]
    fn a_torn_row_is_noted() {
        let torn = KPROBE_TAKES_OVER.replace("ok   own-irsa  opens", "[  1.0] ok   own-irsa");
        let notes = judged("6.1", Arch::Aarch64, &torn);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("auto: `lab play` counts 1 passed, 0 failed, 0 skipped, but"));
    }
}
