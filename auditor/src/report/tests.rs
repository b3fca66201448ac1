mod files;
mod limits;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, PipeReader, Read},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{fixture, *};
use crate::event::{Loss, Stopped};

#[derive(Default)]
struct Counts {
    emitted: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

impl Observer for Counts {
    fn emitted(&self, _: &Body) {
        self.emitted.fetch_add(1, Relaxed);
    }
    fn written(&self, _: &Body, _: Duration) {
        self.written.fetch_add(1, Relaxed);
    }
    fn lost(&self, _: &Body) {
        self.lost.fetch_add(1, Relaxed);
    }
}

fn start(output: Output, capacity: usize) -> (Reporter, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (
        Reporter::start(
            fixture::envelope(),
            output,
            Format::Json,
            counts.clone(),
            capacity,
            Timestamp::now,
        )
        .unwrap(),
        counts,
    )
}

fn emit(reporter: &Reporter, text: &str) {
    reporter.emit(
        None,
        Timestamp::now(),
        Uuid::now_v7(),
        fixture::health(text),
    );
}

fn emit_open(reporter: &Reporter, verdict: Verdict) {
    let mut open = fixture::token_open("x", 1);
    open.verdict = verdict;
    reporter.emit(
        None,
        Timestamp::now(),
        Uuid::now_v7(),
        Body::TokenOpen(Box::new(open)),
    );
}

fn emit_theft(reporter: &Reporter, party: u64) {
    let mut open = fixture::token_open("x", 1);
    open.verdict = Verdict::Violation;
    open.findings[0].severity = Severity::Critical;
    open.findings[0].exempted_by = None;
    let body = Body::TokenOpen(Box::new(open));
    reporter.emit(Some(party), Timestamp::now(), Uuid::now_v7(), body);
}

fn finish(reporter: Reporter, within: Duration) -> Finished {
    let started = Instant::now();
    let finished = reporter.finish(started + within, Vec::new(), |totals| {
        let stopped = Stopped {
            reason: "test".to_owned(),
            lines: totals.written_events,
            ..Stopped::default()
        };
        (Timestamp::now(), Uuid::now_v7(), Body::Stopped(stopped))
    });
    assert!(
        started.elapsed() < within + Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
    finished
}

fn pipe() -> (PipeReader, Output) {
    let (reader, writer) = std::io::pipe().unwrap();
    (
        reader,
        Output::from_file(File::from(OwnedFd::from(writer)), "pipe").unwrap(),
    )
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")))
        .collect()
}

/// Every hole is explained by the `loss` line that ends it. Gives the number of lines lost.
fn check_seq(lines: &[Value]) -> u64 {
    let (mut next, mut lost) = (0, 0);
    for line in lines {
        if line["event"] == "loss" {
            assert_eq!(line["reason"], "sink");
            let count = line["count"].as_u64().unwrap();
            next += count;
            lost += count;
        }
        assert_eq!(line["seq"].as_u64().unwrap(), next, "{line}");
        next += 1;
    }
    lost
}

#[test]
fn lines_come_out_in_order_with_their_envelope_and_stopped_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let (reporter, counts) = start(Output::file(&path).unwrap(), 64);
    for n in 0..50 {
        emit(&reporter, &n.to_string());
    }
    emit_open(&reporter, Verdict::Allowed);
    let finished = finish(reporter, Duration::from_secs(1));
    assert!(finished.complete);
    assert_eq!(
        finished.totals,
        SinkTotals {
            written: 52,
            written_events: 1,
            lost: 0,
            lost_events: 0
        }
    );
    let lines = lines(&path);
    assert_eq!((lines.len(), check_seq(&lines)), (52, 0));
    assert_eq!(lines[7]["message"], "7");
    assert_eq!(
        (&lines[7]["schema"], &lines[7]["node"]),
        (&"auditor/v1".into(), &"node-1".into())
    );
    assert_eq!(
        (&lines[7]["cluster"], &lines[7]["instance_id"]),
        (&"prod".into(), &Value::Null)
    );
    assert_eq!(
        (&lines[51]["event"], &lines[51]["lines"]),
        (&"stopped".into(), &1.into())
    );
    assert_eq!(
        [counts.emitted.load(Relaxed), counts.written.load(Relaxed)],
        [51, 52]
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o027,
        0,
        "readable by others"
    );
}

#[test]
fn a_reader_who_stalls_blocks_nobody_and_learns_what_it_missed() {
    let (reader, output) = pipe();
    let (reporter, counts) = start(output, 64);
    let started = Instant::now();
    for n in 0..5000 {
        emit(&reporter, &n.to_string());
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "emit waited for the reader"
    );
    wait_for("loss is counted", || counts.lost.load(Relaxed) > 3000);
    assert_eq!(reporter.failing(), None);
    let lost = reporter.totals().lost;
    let reading = thread::spawn(move || {
        BufReader::new(reader)
            .lines()
            .map(|l| serde_json::from_str(&l.unwrap()).unwrap())
            .collect::<Vec<Value>>()
    });
    wait_for("the queue drains", || reporter.queued() == 0);
    let finished = finish(reporter, Duration::from_secs(2));
    let lines = reading.join().unwrap();
    assert!(finished.complete);
    assert_eq!(check_seq(&lines), lost);
    assert_eq!(finished.totals.lost, lost);
    assert_eq!(finished.totals.written, lines.len() as u64);
    assert_eq!(
        lines.iter().filter(|l| l["event"] == "health").count() as u64 + lost,
        5000
    );
    assert_eq!(lines.last().unwrap()["event"], "stopped");
}

#[test]
fn a_flood_of_ordinary_events_leaves_room_for_a_violation() {
    let (reader, output) = pipe();
    let (reporter, _) = start(output, 64);
    for _ in 0..1000 {
        emit_open(&reporter, Verdict::Allowed);
    }
    let lost = reporter.totals().lost;
    assert!(lost > 0);
    emit_open(&reporter, Verdict::Violation);
    assert_eq!(reporter.totals().lost, lost);
    let reading = thread::spawn(move || {
        BufReader::new(reader)
            .lines()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    let finished = finish(reporter, Duration::from_secs(2));
    let lines = reading.join().unwrap();
    assert_eq!(finished.totals.lost_events, lost);
    assert_eq!(
        lines
            .iter()
            .filter(|l| l.contains(r#""verdict":"violation""#))
            .count(),
        1
    );
}

#[test]
fn a_flood_of_critical_findings_leaves_room_for_anothers() {
    let (_reader, output) = pipe();
    let (reporter, counts) = start(output, 64);
    let flood = || (0..1000).for_each(|_| emit_theft(&reporter, 1));
    flood();
    wait_for("nobody reads", || !reporter.is_busy(0));
    flood();
    let lost = reporter.totals().lost;
    assert!(lost > 0 && reporter.free() > 4, "{}", reporter.free());
    emit_theft(&reporter, 2);
    assert_eq!(reporter.totals().lost, lost);
    emit_theft(&reporter, 1);
    assert_eq!(reporter.totals().lost, lost + 1);
    assert_eq!(reporter.totals().lost_events, lost + 1);
    assert_eq!(counts.lost.load(Relaxed), lost + 1);
}

#[test]
fn violations_have_room_beyond_plain_lines_and_critical_ones_beyond_those() {
    let (_reader, output) = pipe();
    let (reporter, _) = start(output, 64);
    let rank_of = |severity, exempted_by| {
        let mut open = fixture::token_open("x", 1);
        open.verdict = Verdict::Violation;
        open.findings[0].severity = severity;
        open.findings[0].exempted_by = exempted_by;
        Rank::of(&Body::TokenOpen(Box::new(open)))
    };
    let exempt = || Some("policy".to_owned());
    assert_eq!(rank_of(Severity::Critical, None), Rank::Critical);
    assert_eq!(rank_of(Severity::High, None), Rank::Violation);
    assert_eq!(rank_of(Severity::Critical, exempt()), Rank::Violation);
    let limits = [Rank::Plain, Rank::Violation, Rank::Critical].map(|rank| rank.limit(64));
    assert_eq!(limits, [56, 60, 64]);
    assert_eq!(reporter.free(), 64);
    assert!(!reporter.is_busy(0));
}

#[test]
fn words_for_the_end_need_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let (reporter, _) = start(Output::file(&path).unwrap(), 64);
    let now = Timestamp::now();
    let words = vec![Body::Loss(Loss {
        reason: "ring-full".to_owned(),
        ring: None,
        count: 3,
        from: now,
        to: now,
    })];
    let deadline = Instant::now() + Duration::from_secs(2);
    let finished = reporter.finish(deadline, words, |_| {
        (now, Uuid::now_v7(), Body::Stopped(Stopped::default()))
    });
    assert!(finished.complete);
    let events: Vec<_> = lines(&path).iter().map(|l| l["event"].clone()).collect();
    assert_eq!(events, ["loss", "stopped"]);
}

#[test]
fn stopping_with_a_stalled_reader_ends_in_time_and_counts() {
    let (mut reader, output) = pipe();
    let (reporter, counts) = start(output, 4096);
    for n in 0..3000 {
        emit(&reporter, &n.to_string());
    }
    let finished = finish(reporter, Duration::from_millis(700));
    assert!(!finished.complete);
    assert_eq!(finished.totals.written + finished.totals.lost, 3000);
    assert_eq!(counts.lost.load(Relaxed), finished.totals.lost);
    assert!(finished.totals.written > 0 && finished.totals.lost > 0);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let whole = text
        .split_inclusive('\n')
        .filter(|l| l.ends_with('\n'))
        .count() as u64;
    assert_eq!(whole, finished.totals.written);
}

#[test]
fn a_reader_who_is_gone_stops_nothing() {
    let (reader, output) = pipe();
    let (reporter, counts) = start(output, 16);
    drop(reader);
    for n in 0..100 {
        emit(&reporter, &n.to_string());
    }
    wait_for("the failure shows", || reporter.failing().is_some());
    let started = Instant::now();
    let finished = finish(reporter, Duration::from_secs(5));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "waited for a reader who cannot come back"
    );
    assert_eq!((finished.complete, finished.totals.written), (false, 0));
    assert_eq!(
        (finished.totals.lost, counts.lost.load(Relaxed)),
        (100, 100)
    );
}
