use super::*;

const INTERVAL: Duration = Duration::from_secs(300);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn test_of(hooks: &[Hook], start: Instant) -> SelfTest {
    SelfTest::new(hooks.iter().copied(), INTERVAL, start, at(0))
}

fn silent() -> Outcome {
    Outcome::Failed("silent".to_owned())
}

fn lost() -> Outcome {
    Outcome::Unclear("ring full".to_owned())
}

/// Plays until nothing more is due.
fn round(
    test: &mut SelfTest,
    now: Instant,
    mut outcome: impl FnMut(Hook) -> Outcome,
) -> (Vec<Hook>, Vec<Change>) {
    let mut played = Vec::new();
    let mut changes = Vec::new();
    while let Some(hook) = test.due(now) {
        played.push(hook);
        changes.extend(test.note(outcome(hook), at(60)));
        assert!(played.len() < 1000, "it never ends");
    }
    (played, changes)
}

#[test]
fn every_hook_is_played_once_an_interval() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::FileOpen, Hook::Connect], start);
    assert_eq!(
        test.due(start + INTERVAL - Duration::from_millis(1)),
        None,
        "they were proven at the start"
    );
    for k in 1..4 {
        let now = start + INTERVAL * k;
        let (played, changes) = round(&mut test, now, |_| Outcome::Fired);
        assert_eq!(played, [Hook::FileOpen, Hook::Connect]);
        assert!(changes.is_empty());
    }
    let results: Vec<_> = test.results().collect();
    assert_eq!(results, [(Hook::FileOpen, true), (Hook::Connect, true)]);
}

#[test]
fn what_fails_is_tried_again_before_the_interval_has_passed() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::FileOpen, Hook::Connect], start);
    let outcome = |hook| match hook {
        Hook::FileOpen => silent(),
        _ => Outcome::Fired,
    };
    let failed_at = start + INTERVAL;
    let (_, changes) = round(&mut test, failed_at, outcome);
    assert_eq!(changes.len(), 1);
    assert_eq!(test.due(failed_at + AGAIN / 2), None);
    let (played, changes) = round(&mut test, failed_at + AGAIN, outcome);
    assert_eq!(played, [Hook::FileOpen], "only that, and once");
    assert!(changes.is_empty(), "told already");
    assert_eq!(test.due(failed_at + 2 * AGAIN), None, "ever more seldom");
    let (played, changes) = round(&mut test, failed_at + 3 * AGAIN, |_| Outcome::Fired);
    assert_eq!(played, [Hook::FileOpen]);
    assert_eq!(changes.len(), 1);
    assert_eq!(test.not_ready(), None);
    assert_eq!(test.due(failed_at + 9 * AGAIN), None);
}

#[test]
fn one_miss_is_tried_again_and_not_told() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::FileOpen], start);
    let mut first = true;
    let (played, changes) = round(&mut test, start + INTERVAL, |_| {
        if std::mem::take(&mut first) {
            silent()
        } else {
            Outcome::Fired
        }
    });
    assert_eq!(played.len(), 2);
    assert!(changes.is_empty());
    assert_eq!(test.not_ready(), None);
}

#[test]
fn a_hook_that_stays_silent_is_told_once_and_its_recovery_once() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::FileOpen, Hook::Connect], start);
    let only_files_fail = |hook| match hook {
        Hook::FileOpen => silent(),
        _ => Outcome::Fired,
    };
    let (_, changes) = round(&mut test, start + INTERVAL, only_files_fail);
    let [change] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(change.hook, Hook::FileOpen);
    let health = change.health();
    assert_eq!(
        (health.component.as_str(), health.state.as_str()),
        ("self-test", "degraded")
    );
    for part in [
        "file_open",
        "silent",
        "opens of tokens may go unseen since 1970-01-01T00:00:00Z",
        "restart this pod",
    ] {
        assert!(health.message.contains(part), "{}", health.message);
    }
    assert!(test.is_failing(Hook::FileOpen) && !test.is_failing(Hook::Connect));
    assert_eq!(
        test.not_ready().as_deref(),
        Some("the self-test fails: file_open: silent")
    );

    let (_, changes) = round(&mut test, start + INTERVAL * 2, only_files_fail);
    assert!(changes.is_empty(), "it was told: {changes:?}");

    let (_, changes) = round(&mut test, start + INTERVAL * 3, |_| Outcome::Fired);
    let [change] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(change.health().state, "ok");
    assert_eq!(test.not_ready(), None);
    assert!(test.results().all(|(_, passed)| passed));
}

#[test]
fn what_lost_records_hide_is_tried_many_times_before_it_is_told() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::FileOpen], start);
    let mut misses = UNCLEAR_ATTEMPTS - 1;
    let (_, changes) = round(&mut test, start + INTERVAL, |_| {
        if misses > 0 {
            misses -= 1;
            lost()
        } else {
            Outcome::Fired
        }
    });
    assert!(changes.is_empty());
    let (_, changes) = round(&mut test, start + INTERVAL * 2, |_| lost());
    assert_eq!(changes.len(), 1);
}

#[test]
fn a_hook_without_a_canary_neither_passes_nor_fails() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::ExecSession], start);
    let (played, changes) = round(&mut test, start + INTERVAL, |_| Outcome::Untested);
    assert_eq!((played.len(), changes.len()), (1, 0));
    assert_eq!(test.results().count(), 0);
    assert_eq!(test.not_ready(), None);
}

#[test]
fn what_proves_itself_by_its_work_fails_and_recovers_with_it() {
    let start = Instant::now();
    let mut test = test_of(&[Hook::OpenBefore], start);
    let hook = Hook::OpenBefore;
    assert_eq!(test.note_work(hook, Ok(()), at(10)), None);
    assert_eq!(test.results().collect::<Vec<_>>(), [(hook, true)]);
    let change = test.note_work(hook, Err("EBADF".into()), at(20)).unwrap();
    let message = change.health().message;
    assert!(message.contains("since 1970-01-01T00:00:10Z"), "{message}");
    assert_eq!(
        test.note_work(hook, Err("EBADF".into()), at(30)),
        None,
        "told"
    );
    assert_eq!(test.results().collect::<Vec<_>>(), [(hook, false)]);
    assert!(test.not_ready().is_some());
    // Its turn among the canaries proves nothing.
    let (_, changes) = round(&mut test, start + INTERVAL, |_| Outcome::Untested);
    assert!(changes.is_empty() && test.is_failing(hook));
    assert_eq!(
        test.note_work(hook, Ok(()), at(40)).unwrap().health().state,
        "ok"
    );
}
