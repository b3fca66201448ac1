use super::*;
use crate::{
    audit::testing::{event_time, process, seconds_later},
    cluster::testing::pod,
    event::FindingId,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn runs(exe: &str) -> Process {
    let mut process = process();
    process.exe = Some(exe.into());
    process
}

fn new() -> Familiarity {
    Familiarity::New {
        learned_since: event_time(),
    }
}

#[test]
fn what_is_seen_in_the_learning_time_is_known_after_it() {
    let (web, other) = (pod("shop", "web"), pod("payments", "api"));
    let mut baselines = Baselines::default();
    baselines.note(&web, &runs("/app"), event_time(), HOUR);
    baselines.note(&web, &runs("/helper"), seconds_later(3599), HOUR);
    baselines.note(&web, &runs("/late"), seconds_later(3600), HOUR);
    for (what, pod, exe, second, learn_for, expected) in [
        (
            "while it is learned",
            &web,
            "/odd",
            60,
            Some(HOUR),
            Familiarity::Unjudged,
        ),
        (
            "known at once",
            &web,
            "/app",
            60,
            Some(HOUR),
            Familiarity::Known,
        ),
        (
            "known later",
            &web,
            "/app",
            3600,
            Some(HOUR),
            Familiarity::Known,
        ),
        (
            "the last moment",
            &web,
            "/helper",
            9999,
            Some(HOUR),
            Familiarity::Known,
        ),
        ("a moment too late", &web, "/late", 9999, Some(HOUR), new()),
        ("never seen", &web, "/odd", 3600, Some(HOUR), new()),
        (
            "a longer time",
            &web,
            "/odd",
            3600,
            Some(HOUR * 2),
            Familiarity::Unjudged,
        ),
        (
            "not asked for",
            &web,
            "/odd",
            3600,
            None,
            Familiarity::Unjudged,
        ),
        (
            "another ServiceAccount",
            &other,
            "/odd",
            3600,
            Some(HOUR),
            Familiarity::Unjudged,
        ),
    ] {
        let told = baselines.familiarity(pod, &runs(exe), seconds_later(second), learn_for);
        assert_eq!(told, expected, "{what}");
    }
}

#[test]
fn what_is_not_of_the_image_is_neither_learned_nor_judged() {
    let web = pod("shop", "web");
    for (what, edit) in [
        (
            "memfd",
            (|p| p.exe = Some("memfd:x".into())) as fn(&mut Process),
        ),
        ("cut", |p| p.exe = Some("…/x".into())),
        ("a kernel thread", |p| p.exe = None),
        ("deleted", |p| p.exe_unlinked = true),
        ("written since", |p| p.exe_upper_layer = Some(true)),
    ] {
        let mut process = runs("/tmp/tool");
        edit(&mut process);
        let mut baselines = Baselines::default();
        baselines.note(&web, &process, event_time(), HOUR);
        assert_eq!(baselines.iter().count(), 0, "{what}");
        baselines.note(&web, &runs("/app"), event_time(), HOUR);
        let told = baselines.familiarity(&web, &process, seconds_later(9999), Some(HOUR));
        assert_eq!(told, Familiarity::Unjudged, "{what}");
    }
}

#[test]
fn only_what_nothing_counts_against_teaches() {
    let found = |severity, exempted: Option<&str>| Finding {
        id: FindingId::ExecSessionTokenOpen,
        severity,
        message: String::new(),
        exempted_by: exempted.map(str::to_owned),
    };
    for (findings, undetermined, expected) in [
        (vec![], vec![], true),
        (vec![found(Severity::Info, None)], vec![], true),
        (vec![found(Severity::High, Some("support"))], vec![], true),
        (vec![found(Severity::Medium, None)], vec![], false),
        (vec![], vec!["associations"], true),
        (vec![], vec!["namespaces"], false),
        (vec![], vec!["process"], false),
    ] {
        let undetermined: Vec<String> = undetermined.into_iter().map(str::to_owned).collect();
        assert_eq!(
            teaches(&findings, &undetermined),
            expected,
            "{findings:?} {undetermined:?}"
        );
    }
}

#[test]
fn an_account_that_runs_too_many_is_not_judged_and_said_so_once() {
    let web = pod("shop", "web");
    let mut baselines = Baselines::default();
    let said: Vec<bool> = (0..EXECUTABLES + 2)
        .map(|n| baselines.note(&web, &runs(&format!("/bin/{n}")), event_time(), HOUR))
        .collect();
    assert_eq!(said.iter().filter(|said| **said).count(), 1);
    assert!(said[EXECUTABLES]);
    let kept: Vec<Learned> = baselines.iter().cloned().collect();
    assert_eq!(kept[0].executables.len(), EXECUTABLES);
    for baselines in [baselines, Baselines::new(kept)] {
        let told = baselines.familiarity(&web, &runs("/odd"), seconds_later(9999), Some(HOUR));
        assert_eq!(told, Familiarity::Unjudged);
    }
}

#[test]
fn the_one_that_was_silent_for_longest_makes_room() {
    let mut baselines = Baselines::default();
    let account = |n: usize| pod("shop", "web").with_account(&format!("sa-{n}"));
    for n in 0..=ACCOUNTS {
        let time = seconds_later(n as i64);
        baselines.note(&account(n), &runs("/app"), time, HOUR);
        // The first is used again and again.
        baselines.note(&account(0), &runs("/app"), time, HOUR);
    }
    assert_eq!(baselines.iter().count(), ACCOUNTS);
    let told = |n| baselines.familiarity(&account(n), &runs("/app"), seconds_later(0), Some(HOUR));
    assert_eq!(told(0), Familiarity::Known);
    assert_eq!(told(1), Familiarity::Unjudged, "forgotten");
    assert_eq!(told(ACCOUNTS), Familiarity::Known);
}

#[test]
fn what_is_kept_is_what_the_next_run_knows() {
    let mut baselines = Baselines::default();
    for name in ["b", "a"] {
        let pod = pod("shop", "web").with_account(name);
        baselines.note(&pod, &runs("/app"), event_time(), HOUR);
    }
    let kept: Vec<Learned> = baselines.iter().cloned().collect();
    let text = serde_json::to_string(&kept).unwrap();
    let again: Vec<Learned> = serde_json::from_str(&text).unwrap();
    assert_eq!(again, kept);
    assert_eq!(&*kept[0].service_account, "a", "in a fixed order");
    assert!(Baselines::new(again).iter().eq(kept.iter()));
}
