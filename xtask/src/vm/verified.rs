//! How many instructions the verifier walks through for each program, recorded for each kernel and architecture in
//! tests/verified_insns: a program that grows by more than half there is on its way to the verifier's limit.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    process::{self, capture},
    summary::Counts,
};

/// What the kernel made of a program; read from the lab's `probe NAME BACKEND N|loaded|refused: WHY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub name: String,
    pub count: Count,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    Instructions(u64),
    /// Kernels before 5.16 do not tell the number.
    Loaded,
    /// The kernel's reason.
    Refused(String),
}

pub fn parse(line: &str) -> Option<Probe> {
    let mut words = line.strip_prefix("probe ")?.splitn(3, ' ');
    let (name, _backend) = (words.next()?, words.next()?);
    let count = match words.next()?.trim() {
        "loaded" => Count::Loaded,
        rest => match rest.strip_prefix("refused: ") {
            Some(why) => Count::Refused(why.to_owned()),
            None => Count::Instructions(rest.parse().ok()?),
        },
    };
    Some(Probe {
        name: name.to_owned(),
        count,
    })
}

/// What is wrong with the counts on `target`, e.g. `6.1 x86_64`.
///
/// # Errors
/// When nothing is recorded for it, or what is cannot be read.
pub fn check(target: &str, probes: &[Probe]) -> Result<Vec<String>> {
    let file = file(target);
    let text = fs::read_to_string(&file).with_context(|| {
        format!(
            "{}: record it with `cargo xtask vm-test --probes --record`",
            file.display()
        )
    })?;
    Ok(compare(&recorded(&text)?, probes))
}

/// The programs that a kernel refuses, where it is to load all: recorded or not, that is wrong.
pub fn refused(best_effort: bool, probes: &[Probe]) -> Vec<String> {
    let refused = probes.iter().filter_map(|probe| match &probe.count {
        Count::Refused(why) if !best_effort => {
            Some(format!("program {} is refused: {why}", probe.name))
        }
        _ => None,
    });
    refused.collect()
}

/// Writes the counts as what is to be compared with from now on; of a guest that has tried every program.
///
/// # Errors
/// When there are none, or the file cannot be written.
pub fn record(target: &str, probes: &[Probe]) -> Result<()> {
    if probes
        .iter()
        .all(|probe| matches!(probe.count, Count::Refused(_)))
    {
        bail!("the guest loads no program, so nothing is recorded");
    }
    let file = file(target);
    let directory = file.parent().context("no directory")?;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    fs::write(&file, written(target, probes)).with_context(|| file.display().to_string())
}

/// The same on this machine's kernel, without a VM: programs that it refuses are of no interest (a VM tells), those that it
/// loads must not have grown.
///
/// # Errors
/// When the lab cannot tell.
pub fn check_here(lab: &mut Command) -> Result<Counts> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let target = format!("{} {}", line_of(&release), std::env::consts::ARCH);
    let one = |passed, failed, skipped| Counts {
        passed,
        failed,
        skipped,
    };
    let Ok(text) = fs::read_to_string(file(&target)) else {
        println!("skipped: verified instructions: none are recorded for {target}");
        return Ok(one(0, 0, 1));
    };
    let probes: Vec<_> = capture(lab)?.lines().filter_map(parse).collect();
    let loaded: Vec<_> = probes
        .into_iter()
        .filter(|probe| !matches!(probe.count, Count::Refused(_)))
        .collect();
    if loaded.is_empty() {
        println!("failed: verified instructions: this kernel loads no program");
        return Ok(one(0, 1, 0));
    }
    let mut recorded = recorded(&text)?;
    recorded.retain(|name, _| loaded.iter().any(|probe| probe.name == *name));
    let wrong = compare(&recorded, &loaded);
    wrong
        .iter()
        .for_each(|what| println!("failed: verified instructions: {what}"));
    println!(
        "verified instructions on {target}: {} programs compared",
        loaded.len()
    );
    Ok(if wrong.is_empty() {
        one(1, 0, 0)
    } else {
        one(0, u32::try_from(wrong.len()).unwrap_or(u32::MAX), 0)
    })
}

/// `6.12` of `6.12.117+deb12-cloud-amd64`.
fn line_of(release: &str) -> String {
    let mut numbers = release.trim().split(['.', '-', '+']);
    let (major, minor) = (numbers.next(), numbers.next());
    format!(
        "{}.{}",
        major.unwrap_or_default(),
        minor.unwrap_or_default()
    )
}

fn file(target: &str) -> PathBuf {
    let name = format!("{}.txt", target.replace(' ', "-"));
    process::workspace().join("tests/verified_insns").join(name)
}

/// Program -> number, `None` for one that is refused; or loaded without a number, which is 0.
type Recorded = BTreeMap<String, Option<u64>>;

fn recorded(text: &str) -> Result<Recorded> {
    let mut recorded = Recorded::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let (name, count) = line
            .split_once(' ')
            .with_context(|| format!("not `PROGRAM COUNT`: {line}"))?;
        let count = match count.trim() {
            "refused" => None,
            "loaded" => Some(0),
            count => Some(count.parse().with_context(|| line.to_owned())?),
        };
        recorded.insert(name.to_owned(), count);
    }
    Ok(recorded)
}

fn written(target: &str, probes: &[Probe]) -> String {
    let mut text = format!(
        "# Instructions that the verifier walks through (verified_insns), Debian's {target}.\n\
        # Written by `cargo xtask vm-test --probes --record`; a test fails when one grows by more than half.\n"
    );
    let mut probes: Vec<_> = probes.iter().collect();
    probes.sort_by_key(|probe| &probe.name);
    for Probe { name, count } in probes {
        let count = match count {
            Count::Instructions(number) => number.to_string(),
            Count::Loaded => "loaded".to_owned(),
            Count::Refused(_) => "refused".to_owned(),
        };
        text.push_str(&format!("{name} {count}\n"));
    }
    text
}

fn compare(recorded: &Recorded, probes: &[Probe]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Probe { name, count } in probes {
        match (recorded.get(name), count) {
            (None, _) => wrong.push(format!(
                "program {name} is new: record its count with --record"
            )),
            (Some(Some(_)), Count::Refused(why)) => {
                wrong.push(format!("program {name} is no longer accepted: {why}"));
            }
            // `2 * now > 3 * before`: by more than half.
            (Some(Some(before)), Count::Instructions(now))
                if *before > 0 && 2 * now > 3 * before =>
            {
                wrong.push(format!(
                    "program {name} grew from {before} to {now} verified instructions"
                ));
            }
            // The kernel told the number then: what walks through the verifier now is unknown.
            (Some(Some(before)), Count::Loaded) if *before > 0 => {
                wrong.push(format!(
                    "program {name} had {before} verified instructions and now has no number"
                ));
            }
            (Some(None), Count::Instructions(_) | Count::Loaded) => {
                wrong.push(format!(
                    "program {name} is accepted now: record it with --record"
                ));
            }
            _ => {}
        }
    }
    for name in recorded.keys() {
        if !probes.iter().any(|probe| probe.name == *name) {
            wrong.push(format!("program {name} was not tried"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "# comment\na 100\nb refused\nc 10\n";

    fn wrong(console: &str) -> Vec<String> {
        let probes: Vec<_> = console.lines().filter_map(parse).collect();
        compare(&recorded(RECORDED).unwrap(), &probes)
    }

    #[test]
    fn half_more_is_still_right_and_one_beyond_is_not() {
        let right =
            "probe a fentry 150\nprobe b kprobe refused: os error 524: no\nprobe c syscall 1\n";
        assert!(wrong(right).is_empty());
        let grown = wrong(&right.replace("150", "151"));
        assert_eq!(
            grown,
            ["program a grew from 100 to 151 verified instructions"]
        );
    }

    #[test]
    fn any_drift_is_told() {
        let wrong = wrong("probe a fentry refused: too big\nprobe b kprobe 7\nprobe d kprobe 7\n");
        assert_eq!(
            wrong,
            [
                "program a is no longer accepted: too big",
                "program b is accepted now: record it with --record",
                "program d is new: record its count with --record",
                "program c was not tried",
            ]
        );
    }

    #[test]
    fn a_number_that_is_lost_is_wrong() {
        let wrong = wrong("probe a fentry loaded\nprobe b kprobe refused: x\nprobe c syscall 1\n");
        assert_eq!(
            wrong,
            ["program a had 100 verified instructions and now has no number"]
        );
    }

    #[test]
    fn a_refusal_is_wrong_unless_the_kernel_is_tried_for_interest() {
        let probes: Vec<_> = ["probe a fentry 1", "probe b kprobe refused: x"]
            .iter()
            .filter_map(|line| parse(line))
            .collect();
        assert_eq!(refused(false, &probes), ["program b is refused: x"]);
        assert!(refused(true, &probes).is_empty());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let console = "probe b kprobe refused: x\nprobe a fentry 12\nprobe c fentry loaded\n";
        let probes: Vec<_> = console.lines().filter_map(parse).collect();
        let text = written("6.1 x86_64", &probes);
        assert!(text.ends_with("a 12\nb refused\nc loaded\n"));
        assert!(compare(&recorded(&text).unwrap(), &probes).is_empty());
    }

    #[test]
    fn a_release_has_a_line() {
        assert_eq!(line_of("6.12.117+deb12-cloud-amd64\n"), "6.12");
        assert_eq!(line_of("6.1.0-56-cloud-arm64"), "6.1");
    }
}
