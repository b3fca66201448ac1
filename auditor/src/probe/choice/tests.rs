use super::*;

/// What each way of the hook would do, by backend; those not named refuse.
fn decide(
    hook: Hook,
    forced: Option<Backend>,
    outcomes: &[(Backend, Result<bool, &str>)],
) -> (Result<HookReport, LoadError>, Vec<Backend>) {
    let mut tried = Vec::new();
    let report = choose(hook, forced, |way| {
        tried.push(way.backend);
        let outcome = outcomes.iter().find(|(backend, _)| *backend == way.backend);
        match outcome {
            Some((_, Ok(proven))) => Ok(Attached {
                proven: *proven,
                program_ids: BTreeMap::new(),
            }),
            Some((_, Err(why))) => Err((*why).to_owned()),
            None => Err("refused".to_owned()),
        }
    });
    (report, tried)
}

fn backend(report: &HookReport) -> Option<Backend> {
    report.way.map(|way| way.backend)
}

#[test]
fn the_best_way_that_works_is_taken_and_no_other_is_tried() {
    let all = [
        (Backend::Fentry, Ok(true)),
        (Backend::Kprobe, Ok(true)),
        (Backend::Syscall, Ok(true)),
    ];
    let (report, tried) = decide(Hook::FileOpen, None, &all);
    let report = report.unwrap();
    assert_eq!(backend(&report), Some(Backend::Fentry));
    assert_eq!(tried, [Backend::Fentry]);
    assert_eq!(report.status().state, "live");
    assert!(report.refused.is_empty());
}

#[test]
fn a_way_that_attaches_and_never_fires_gives_way_to_the_next() {
    let silent = super::super::CanaryError::Silent.to_string();
    let outcomes = [
        (Backend::Fentry, Err(silent.as_str())),
        (Backend::Kprobe, Ok(true)),
    ];
    let (report, tried) = decide(Hook::FileOpen, None, &outcomes);
    let report = report.unwrap();
    assert_eq!(backend(&report), Some(Backend::Kprobe));
    assert_eq!(tried, [Backend::Fentry, Backend::Kprobe]);
    assert_eq!(
        report.status().refused,
        BTreeMap::from([("fentry".to_owned(), silent)])
    );
}

#[test]
fn a_forced_backend_is_the_only_one_that_is_tried() {
    let outcomes = [(Backend::Fentry, Ok(true)), (Backend::Kprobe, Ok(true))];
    for (forced, expected) in [
        (Backend::Fentry, Some(Backend::Fentry)),
        (Backend::Kprobe, Some(Backend::Kprobe)),
        (Backend::Syscall, None),
    ] {
        let (report, tried) = decide(Hook::FileOpen, Some(forced), &outcomes);
        assert_eq!(tried, [forced]);
        assert_eq!(report.ok().as_ref().and_then(backend), expected);
    }
}

#[test]
fn the_last_resort_of_connects_is_their_tracepoint() {
    let outcomes = [(Backend::Tracepoint, Ok(true))];
    let (report, tried) = decide(Hook::Connect, Some(Backend::Syscall), &outcomes);
    assert_eq!(backend(&report.unwrap()), Some(Backend::Tracepoint));
    assert_eq!(tried, [Backend::Tracepoint]);
}

#[test]
fn a_hook_without_a_choice_ignores_what_is_forced() {
    for hook in Hook::ALL.into_iter().filter(|hook| hook.ways().len() == 1) {
        let only = hook.ways()[0].backend;
        let (report, _) = decide(hook, Some(Backend::Kprobe), &[(only, Ok(false))]);
        assert_eq!(backend(&report.unwrap()), Some(only), "{hook:?}");
    }
}

#[test]
fn without_a_required_hook_there_is_no_start_and_every_reason_is_told() {
    let outcomes = [
        (Backend::Fentry, Err("-524")),
        (Backend::Kprobe, Err("EPERM")),
        (Backend::Syscall, Err("no ring")),
    ];
    let (report, _) = decide(Hook::FileOpen, None, &outcomes);
    assert_eq!(
        report.unwrap_err().to_string(),
        "no way to watch file_open works on this kernel: fentry: -524; kprobe: EPERM; syscall: no ring"
    );
}

#[test]
fn an_optional_hook_is_left_out_and_says_why() {
    for hook in Hook::ALL.into_iter().filter(|hook| !hook.is_required()) {
        let (report, _) = decide(hook, None, &[]);
        let status = report.unwrap().status();
        assert_eq!(
            (status.backend.as_str(), status.state.as_str()),
            ("none", "unavailable")
        );
        assert_eq!(status.refused.len(), hook.ways().len());
    }
}
