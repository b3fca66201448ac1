use super::*;
use crate::{
    audit::testing::{event_time, process, seconds_later},
    cluster::testing::pod,
    event::{Finding, FindingId, Severity},
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

/// Opens its own token.
fn opens(baselines: &mut Baselines, pod: &Pod, exe: &str, time: Timestamp) -> Option<Limit> {
    baselines.note(pod, &runs(exe), CredentialUse::Open, time, HOUR)
}

fn told_of(baselines: &Baselines, pod: &Pod, exe: &str, time: Timestamp) -> Familiarity {
    baselines.familiarity(pod, &runs(exe), CredentialUse::Open, time, Some(HOUR))
}

/// What the next run makes of it.
fn again(baselines: &Baselines, now: Timestamp) -> Baselines {
    let kept: Vec<Learned> = baselines.iter().cloned().collect();
    let text = serde_json::to_string(&kept).unwrap();
    Baselines::new(serde_json::from_str(&text).unwrap(), now)
}

#[test]
fn what_is_seen_in_the_learning_time_is_known_after_it() {
    let (web, other) = (pod("shop", "web"), pod("payments", "api"));
    let mut baselines = Baselines::default();
    opens(&mut baselines, &web, "/app", event_time());
    opens(&mut baselines, &web, "/helper", seconds_later(3599));
    opens(&mut baselines, &web, "/late", seconds_later(3600));
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
        let (used, time) = (CredentialUse::Open, seconds_later(second));
        let told = baselines.familiarity(pod, &runs(exe), used, time, learn_for);
        assert_eq!(told, expected, "{what}");
    }
}

#[test]
fn what_is_another_finding_is_neither_learned_nor_judged() {
    let web = pod("shop", "web");
    for (what, edit) in [
        (
            "memfd",
            (|p| p.exe = Some("memfd:x".into())) as fn(&mut Process),
        ),
        ("a kernel thread", |p| p.exe = None),
        ("deleted", |p| p.exe_unlinked = true),
        ("written since", |p| p.exe_upper_layer = Some(true)),
        ("kubectl exec", |p| p.exec_session = Some(true)),
    ] {
        let mut process = runs("/tmp/tool");
        edit(&mut process);
        let mut baselines = Baselines::default();
        for used in [CredentialUse::Open, CredentialUse::Connect] {
            baselines.note(&web, &process, used, event_time(), HOUR);
        }
        assert_eq!(baselines.count(), 0, "{what}");
        opens(&mut baselines, &web, "/app", event_time());
        let (used, time) = (CredentialUse::Open, seconds_later(9999));
        let told = baselines.familiarity(&web, &process, used, time, Some(HOUR));
        assert_eq!(told, Familiarity::Unjudged, "{what}");
    }
}

#[test]
fn an_odd_name_is_not_learned_and_no_way_out() {
    let web = pod("shop", "web");
    for exe in ["…/deep/tool", "/a\nb", "/\u{1b}[2J", "/\u{85}", "/\u{fffd}"] {
        let mut baselines = Baselines::default();
        opens(&mut baselines, &web, exe, event_time());
        assert_eq!(baselines.count(), 0, "{exe:?}");
        opens(&mut baselines, &web, "/app", event_time());
        let told = told_of(&baselines, &web, exe, seconds_later(9999));
        assert_eq!(told, new(), "{exe:?}");
    }
}

#[test]
fn who_connects_does_not_teach_what_opens() {
    let (web, open, connect) = (
        pod("shop", "web"),
        CredentialUse::Open,
        CredentialUse::Connect,
    );
    let mut baselines = Baselines::default();
    for (exe, used) in [
        ("/bin/nc", connect),
        ("/sdk", open),
        ("/late", connect),
        ("/late", open),
    ] {
        baselines.note(&web, &runs(exe), used, event_time(), HOUR);
    }
    let later = seconds_later(9999);
    for (exe, used, expected) in [
        ("/bin/nc", connect, Familiarity::Known),
        ("/bin/nc", open, new()),
        ("/sdk", connect, Familiarity::Known),
        ("/sdk", open, Familiarity::Known),
        ("/late", open, Familiarity::Known),
        ("/odd", connect, new()),
    ] {
        let told = baselines.familiarity(&web, &runs(exe), used, later, Some(HOUR));
        assert_eq!(told, expected, "{exe} {used:?}");
    }
    let paths: Vec<&str> = baselines
        .iter()
        .flat_map(|l| &l.executables)
        .map(|e| &*e.path)
        .collect();
    assert_eq!(paths, ["/bin/nc", "/sdk", "/late"], "once each");
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
fn an_account_that_runs_too_many_is_judged_by_those_that_were_learned() {
    let web = pod("shop", "web");
    let mut baselines = Baselines::default();
    let said: Vec<Option<Limit>> = (0..EXECUTABLES + 2)
        .map(|n| opens(&mut baselines, &web, &format!("/bin/{n}"), event_time()))
        .collect();
    let told = said.iter().position(Option::is_some);
    assert_eq!(told, Some(EXECUTABLES));
    assert_eq!(said[EXECUTABLES], Some(Limit::Programs));
    assert_eq!(said.iter().flatten().count(), 1);
    let after = again(&baselines, seconds_later(60));
    for baselines in [baselines, after] {
        let kept: Vec<&Learned> = baselines.iter().collect();
        assert!(kept[0].full);
        assert_eq!(kept[0].executables.len(), EXECUTABLES);
        // At once: it learns no more.
        for second in [60, 9999] {
            let told = |exe| told_of(&baselines, &web, exe, seconds_later(second));
            assert_eq!(told("/odd"), new(), "{second}");
            assert_eq!(told("/bin/0"), Familiarity::Known, "{second}");
        }
    }
}

#[test]
fn who_connects_with_many_crowds_out_nobody_who_opens() {
    let web = pod("shop", "web");
    let mut baselines = Baselines::default();
    for n in 0..2 * EXECUTABLES {
        let process = runs(&format!("/bin/{n}"));
        baselines.note(&web, &process, CredentialUse::Connect, event_time(), HOUR);
    }
    opens(&mut baselines, &web, "/app", seconds_later(60));
    opens(&mut baselines, &web, "/bin/0", seconds_later(60));
    for exe in ["/app", "/bin/0"] {
        let told = told_of(&baselines, &web, exe, seconds_later(9999));
        assert_eq!(told, Familiarity::Known, "{exe}");
    }
}

#[test]
fn more_than_is_kept_in_a_file_is_cut_and_full() {
    let web = pod("shop", "web");
    let mut baselines = Baselines::default();
    opens(&mut baselines, &web, "/app", event_time());
    let mut kept: Vec<Learned> = baselines.iter().cloned().collect();
    let one = kept[0].executables[0].clone();
    kept[0].executables = (0..EXECUTABLES + 1)
        .map(|n| LearnedExecutable {
            path: format!("/bin/{n}").into(),
            ..one.clone()
        })
        .collect();
    let baselines = Baselines::new(kept, event_time());
    let kept: Vec<&Learned> = baselines.iter().collect();
    assert!(kept[0].full);
    assert_eq!(kept[0].executables.len(), EXECUTABLES);
}

#[test]
fn the_one_that_was_silent_for_longest_makes_room() {
    let mut baselines = Baselines::default();
    let account = |n: usize| pod("shop", "web").with_account(&format!("sa-{n}"));
    for n in 0..=ACCOUNTS {
        let time = seconds_later(n as i64);
        opens(&mut baselines, &account(n), "/app", time);
        // The first is used again and again.
        opens(&mut baselines, &account(0), "/app", time);
    }
    assert_eq!(baselines.count(), ACCOUNTS);
    let told = |n| told_of(&baselines, &account(n), "/app", seconds_later(0));
    assert_eq!(told(0), Familiarity::Known);
    assert_eq!(told(1), Familiarity::Unjudged, "forgotten");
    assert_eq!(told(ACCOUNTS), Familiarity::Known);
}

#[test]
fn who_has_the_most_forgets_his_own_and_that_is_said_once() {
    let mut baselines = Baselines::default();
    let few = |n: usize| pod("payments", "api").with_account(&format!("sa-{n}"));
    let many = |n: usize| pod("noise", "x").with_account(&format!("sa-{n}"));
    // The few are the oldest.
    for n in 0..10 {
        assert_eq!(opens(&mut baselines, &few(n), "/app", event_time()), None);
    }
    let said: Vec<Limit> = (0..2 * ACCOUNTS)
        .filter_map(|n| {
            opens(
                &mut baselines,
                &many(n),
                "/app",
                seconds_later(n as i64 + 1),
            )
        })
        .collect();
    let namespace = "noise".into();
    assert_eq!(said, [Limit::Accounts { namespace }]);
    assert_eq!(baselines.count(), ACCOUNTS);
    for n in 0..10 {
        let told = told_of(&baselines, &few(n), "/odd", seconds_later(9999));
        assert_eq!(told, new(), "{n}");
    }
    // One more of the few takes its place from the many, too.
    opens(&mut baselines, &few(10), "/app", event_time());
    let of_few = baselines.iter().filter(|l| &*l.namespace == "payments");
    assert_eq!(of_few.count(), 11);
}

#[test]
fn a_clock_that_is_set_back_does_not_prolong_the_learning() {
    let web = pod("shop", "web");
    let ahead = seconds_later(1_000_000);
    let mut baselines = Baselines::default();
    opens(&mut baselines, &web, "/app", ahead);
    let mut loaded = again(&baselines, event_time());
    for kept in loaded.iter() {
        assert!(kept.since == event_time() && kept.seen == event_time());
        assert_eq!(kept.executables[0].first_seen, event_time());
    }
    for baselines in [&mut baselines, &mut loaded] {
        opens(baselines, &web, "/app", event_time());
        opens(baselines, &web, "/late", seconds_later(3600));
        for exe in ["/late", "/odd"] {
            let told = told_of(baselines, &web, exe, seconds_later(3600));
            assert_eq!(told, new(), "{exe}");
        }
    }
}

#[test]
fn what_is_kept_is_what_the_next_run_knows() {
    let mut baselines = Baselines::default();
    for name in ["b", "a"] {
        let pod = pod("shop", "web").with_account(name);
        opens(&mut baselines, &pod, "/app", event_time());
    }
    let kept: Vec<&Learned> = baselines.iter().collect();
    assert_eq!(&*kept[0].service_account, "a", "in a fixed order");
    assert!(
        again(&baselines, seconds_later(1))
            .iter()
            .eq(kept.iter().copied())
    );
    // As it was written before what a program did was told apart.
    let mut old = serde_json::to_value(kept[0]).unwrap();
    let removed = old["executables"][0]
        .as_object_mut()
        .unwrap()
        .remove("used");
    assert_eq!(removed, Some("open".into()));
    let old: Learned = serde_json::from_value(old).unwrap();
    assert_eq!(&old, kept[0]);
}

#[test]
fn only_what_is_worth_it_is_kept_again() {
    let web = pod("shop", "web");
    let mut baselines = Baselines::default();
    let mut is_news = |exe: &str, second| {
        let before = baselines.revision();
        opens(&mut baselines, &web, exe, seconds_later(second));
        baselines.revision() != before
    };
    assert!(is_news("/app", 0));
    assert!(!is_news("/app", 1));
    assert!(is_news("/helper", 2));
    assert!(is_news("/app", 3600), "a last use that is much later");
    assert!(!is_news("/late", 3601), "too late to be learned");
    assert!(is_news("/app", -1), "a clock that was set back");
}
