//! What the kernel lets us watch, by trying.

use std::collections::BTreeMap;

use super::report::{Check, HookCheck, State, WayCheck};
use crate::{
    cli::{Failure, RunConfig},
    probe::{self, FileCanary, Hook, HookSurvey, LoadError},
    run::setup,
};

/// What was found.
#[derive(Default)]
pub struct Surveyed {
    pub checks: Vec<Check>,
    pub hooks: BTreeMap<String, HookCheck>,
    pub coverage: BTreeMap<&'static str, bool>,
    /// None: opens cannot be watched.
    pub canary: Option<FileCanary>,
}

pub fn btf() -> Check {
    match probe::check_btf() {
        Ok(()) => Check::ok(
            "btf",
            "/sys/kernel/btf/vmlinux tells all that the programs must know",
        ),
        Err(error) => failed("btf", error),
    }
}

fn failed(check: &str, error: LoadError) -> Check {
    let help = error.remedy();
    Check::failed(check, &Failure::environment(error).help(help))
}

pub fn look(config: &RunConfig, own_tgid: u32) -> Surveyed {
    let endpoints = setup::endpoints(config);
    let options = setup::load_options(config, &endpoints, own_tgid);
    let survey = match probe::survey(&options) {
        Ok(survey) => survey,
        Err(error) => {
            return Surveyed {
                checks: vec![failed("probes", error)],
                ..Surveyed::default()
            };
        }
    };
    let mut in_use = BTreeMap::new();
    let mut surveyed = Surveyed {
        canary: survey.canary,
        ..Surveyed::default()
    };
    for survey in &survey.hooks {
        let hook = survey.hook;
        // `run` does not even look.
        let is_wanted = hook != Hook::DeniedOpen || config.watch_denied;
        let chosen = survey.choose(options.backend);
        let used = match &chosen {
            Ok(report) if is_wanted => report.way.map(|way| way.backend),
            _ => None,
        };
        in_use.extend(used.map(|backend| (hook, backend)));
        surveyed.hooks.insert(
            hook.name().to_owned(),
            HookCheck {
                required: hook.is_required() && is_wanted,
                backend: used.map(|backend| backend.name().to_owned()),
                ways: ways(survey),
            },
        );
        surveyed.checks.push(match chosen {
            _ if !is_wanted => unwanted(survey),
            Ok(report) if report.way.is_some() => Check {
                check: row(hook),
                ..used_by(&report)
            },
            Ok(report) => Check::new(&row(hook), State::Degraded, unseen(&report))
                .remedy(remedy(survey, options.backend.is_some())),
            Err(error) => Check::failed(&row(hook), &setup::not_loaded(config, error)),
        });
    }
    surveyed.coverage = probe::coverage(&in_use);
    surveyed
}

const ANOTHER_KERNEL: &str = "run a kernel that allows fentry or kprobes (CONFIG_KPROBES, tracing not locked down), or accept that";

/// Where a better way works, only the flag keeps it away.
fn remedy(survey: &HookSurvey, is_forced: bool) -> &'static str {
    let works = survey.ways.iter().any(|tried| tried.result.is_ok());
    if is_forced && works {
        "leave out --backend: `auto` has a way that works here"
    } else if is_forced {
        "leave out --backend, and run a kernel that allows fentry or kprobes (CONFIG_KPROBES, tracing not locked down)"
    } else {
        ANOTHER_KERNEL
    }
}

fn row(hook: Hook) -> String {
    format!("probe {}", hook.name())
}

fn used_by(report: &probe::HookReport) -> Check {
    let status = report.status();
    let mut detail = status.backend;
    if !report.proven {
        detail.push_str(", which attaches; only real events prove it");
    }
    if !status.misses.is_empty() {
        detail.push_str("; misses ");
        detail.push_str(&status.misses.join(", "));
    }
    let reasons = report.reasons();
    if !reasons.is_empty() {
        detail.push_str(" (");
        detail.push_str(&reasons);
        detail.push(')');
    }
    // Opens are what all stands on: techniques of stealing go unseen by the last resort.
    let is_poor = report.hook == Hook::FileOpen && !status_misses(report).is_empty();
    if !is_poor {
        return Check::ok("", detail);
    }
    Check::new("", State::Degraded, detail).remedy(ANOTHER_KERNEL)
}

fn status_misses(report: &probe::HookReport) -> &'static [&'static str] {
    report.way.map_or(&[], |way| way.misses)
}

fn unseen(report: &probe::HookReport) -> String {
    let reasons = match report.reasons() {
        reasons if reasons.is_empty() => "the chosen --backend has no way to watch it".to_owned(),
        reasons => reasons,
    };
    format!("nothing tells of {} ({reasons})", report.hook.unseen())
}

fn unwanted(survey: &HookSurvey) -> Check {
    let tried = survey.ways.first().map(|tried| &tried.result);
    let detail = match tried {
        Some(Err(reason)) => format!("not asked for, and would not work: {reason}"),
        _ => "not asked for (--watch-denied); it would work".to_owned(),
    };
    Check::new(&row(survey.hook), State::Info, detail)
}

fn ways(survey: &HookSurvey) -> Vec<WayCheck> {
    survey
        .ways
        .iter()
        .map(|tried| WayCheck {
            backend: tried.way.backend.name().to_owned(),
            works: tried.result.is_ok(),
            proven: tried.result == Ok(true),
            reason: tried.result.clone().err(),
            misses: tried
                .way
                .misses
                .iter()
                .map(|miss| (*miss).to_owned())
                .collect(),
        })
        .collect()
}
