use std::io::Write as _;

use super::*;

/// One event of each kind that runs of the lab wrote.
const LINES: &str = include_str!("../replay/testdata/lab.jsonl");

fn file(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    file
}

#[test]
fn every_line_that_the_auditor_wrote_is_read() {
    let file = file(LINES.as_bytes());
    let mut read = 0;
    let skipped = read_files(&[file.path().to_owned()], |line| {
        assert!(line.verdicts().is_some(), "{}", line.event());
        read += 1;
    })
    .unwrap();
    assert!(skipped.unreadable.is_empty(), "{:?}", skipped.unreadable);
    assert_eq!(read + skipped.other, LINES.lines().count() as u64);
}

#[test]
fn what_is_no_event_is_counted_and_the_next_line_read() {
    let first = LINES
        .lines()
        .find(|line| line.contains("\"verdict\""))
        .unwrap();
    let text = format!(
        "\n{first}\n{{\"torn\n[]\n{{\"event\":\"health\"}}\n{}\n{}\n{}\n{first}",
        r#"{"id":"a","run_id":"b","seq":1,"time":"2026-11-22T12:00:00Z","event":"summary","count":7}"#,
        r#"{"id":"a","run_id":"b","seq":2,"time":"2026-11-22T12:00:00Z","event":"of_a_later_version"}"#,
        "x".repeat(100_000),
    );
    let file = file(text.as_bytes());
    let mut read = 0;
    let skipped = read_files(&[file.path().to_owned()], |_| read += 1).unwrap();
    assert_eq!(read, 2);
    assert_eq!((skipped.other, skipped.folded), (1, 7));
    assert_eq!(
        skipped.unreadable.values().sum::<u64>(),
        4,
        "{:?}",
        skipped.unreadable
    );
    assert!(read_files(&["/nonexistent".into()], |_| {}).is_err());
}

#[test]
fn an_event_is_found_by_a_part_of_its_id() {
    let file = file(LINES.as_bytes());
    let lines: Vec<Line> = LINES
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Line| line.verdicts().is_some())
        .collect();
    let wanted = &lines[3].id;
    for id in [wanted.as_str(), &wanted[wanted.len() - 12..]] {
        let (line, _) = find(file.path(), id).unwrap().unwrap().unwrap();
        assert_eq!(line.id, *wanted);
    }
    assert!(find(file.path(), "nothing").unwrap().unwrap().is_none());
    // All ids of one millisecond, and many more, begin so.
    assert!(find(file.path(), &wanted[..2]).unwrap().unwrap_err() > 1);
    let closed = lines
        .iter()
        .find(|line| matches!(line.body, Body::ConnectionClosed(_)))
        .unwrap();
    let (_, connect) = find(file.path(), &closed.id).unwrap().unwrap().unwrap();
    assert!(matches!(connect.unwrap().body, Body::CredentialConnect(_)));
}
