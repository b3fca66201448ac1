//! Readings: pages, descriptions, and what remains of both when something fails.

use std::collections::HashSet;

use super::*;
use crate::association::Reading;

const MINUTE: Duration = Duration::from_secs(60);

fn with(count: usize, page_size: usize) -> FakeEks {
    let eks = FakeEks::default();
    {
        let mut state = eks.state();
        state.page_size = page_size;
        for index in 0..count {
            state.add(&format!("a-{index:04}"), &format!("sa-{index:04}"));
        }
    }
    eks
}

async fn read(reader: &mut Reader) -> Reading {
    reader.read(|_| {}).await
}

fn roles(reading: &Reading) -> usize {
    let associations = reading.associations.iter();
    associations.filter(|one| one.role_arn.is_some()).count()
}

#[tokio::test]
async fn all_pages_and_each_described_once() {
    let eks = with(25, 10);
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    let before = jiff::Timestamp::now();
    let reading = read(&mut reader).await;
    assert!(reading.complete && reading.trouble.is_none());
    assert!(reading.started_at >= before);
    assert_eq!((reading.associations.len(), roles(&reading)), (25, 25));
    {
        let mut state = eks.state();
        assert_eq!((state.lists(), state.described().len()), (3, 25));
        state.requests.clear();
    }
    // A tenth of them in each of the ten minutes; the new one at once, and first.
    eks.state().add("a-9999", "new");
    let reading = read(&mut reader).await;
    assert_eq!((reading.associations.len(), roles(&reading)), (26, 26));
    let state = eks.state();
    let described = state.described();
    assert_eq!(described.len(), 4);
    assert_eq!(described[0], "a-9999");
}

#[tokio::test]
async fn each_is_described_again_in_time_and_a_changed_role_seen() {
    let eks = with(25, 100);
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    read(&mut reader).await;
    eks.state().requests.clear();
    for association in eks.state().associations.values_mut() {
        association["roleArn"] = "arn:aws:iam::111122223333:role/other".into();
    }
    let mut reading = read(&mut reader).await;
    for _ in 1..9 {
        reading = read(&mut reader).await;
    }
    let state = eks.state();
    let described = state.described();
    assert_eq!(described.iter().collect::<HashSet<_>>().len(), 25);
    // Evenly: three each time, and no more.
    assert_eq!(described.len(), 27);
    let other = reading.associations.iter().filter(|one| {
        one.role_arn
            .as_deref()
            .is_some_and(|role| role.ends_with("/other"))
    });
    assert_eq!(other.count(), 25);
}

#[tokio::test]
async fn what_the_list_no_longer_has_is_gone() {
    let eks = with(3, 100);
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    read(&mut reader).await;
    eks.state().associations.remove("a-0001");
    let reading = read(&mut reader).await;
    assert_eq!(reading.associations.len(), 2);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_no_list() {
    let eks = with(25, 10);
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    read(&mut reader).await;
    eks.state().associations.remove("a-0001");
    eks.state().add("a-0000a", "new");
    let denied = Fault::Status(403, "AccessDeniedException", "no");
    let retried = Fault::Status(500, "ServerException", "oops");
    // The first page comes at the second attempt, the second one not at all.
    eks.state().list_faults.push_back(retried);
    let client_fault = |eks: &FakeEks| eks.state().list_faults.push_back(denied.clone());
    let reading = read(&mut reader).await;
    assert!(reading.complete, "{:?}", reading.trouble);
    client_fault(&eks);
    let reading = read(&mut reader).await;
    assert!(!reading.complete);
    let trouble = reading.trouble.unwrap();
    assert!(trouble.contains("cluster prod"), "{trouble}");
    assert!(
        trouble.contains("eks:ListPodIdentityAssociations"),
        "{trouble}"
    );
    // All that are known.
    assert_eq!(reading.associations.len(), 25);
}

#[tokio::test]
async fn a_page_that_fails_adds_and_takes_nothing_away() {
    let eks = with(25, 10);
    let client = eks.client(fast()).await;
    // As if read by another process before.
    let mut reader = Reader::new(client, MINUTE);
    let before = crate::association::testing::association("a-gone", "gone");
    reader.seed([&before]);
    let first_page = eks
        .state()
        .associations
        .keys()
        .take(10)
        .cloned()
        .collect::<Vec<_>>();
    {
        // The second page is malformed for good.
        let mut state = eks.state();
        state.list_faults.push_back(Fault::Body(
            r#"{"associations":[{"namespace":"n","serviceAccount":"s","associationId":"a-x"}],"nextToken":"page/0"}"#,
        ));
        state
            .list_faults
            .push_back(Fault::Body(r#"{"associations":[]"#));
    }
    let reading = read(&mut reader).await;
    assert!(!reading.complete);
    let mut ids: Vec<&str> = reading.associations.iter().map(|one| &*one.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a-gone", "a-x"]);
    let reading = read(&mut reader).await;
    assert!(reading.complete);
    assert_eq!(reading.associations.len(), 25);
    assert!(
        reading
            .associations
            .iter()
            .any(|one| *one.id == *first_page[0])
    );
}

#[tokio::test]
async fn a_token_that_leads_nowhere_ends() {
    let eks = with(1, 100);
    let body = r#"{"associations":[],"nextToken":"page/0"}"#;
    eks.state().list_faults.extend(vec![Fault::Body(body); 3]);
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    let reading = read(&mut reader).await;
    assert!(!reading.complete);
    assert!(
        reading
            .trouble
            .unwrap()
            .contains("the token that led to it")
    );
    assert_eq!(eks.state().lists(), 2);
}

#[tokio::test]
async fn without_a_role_it_is_bound_nevertheless() {
    let eks = with(3, 100);
    let denied = Fault::Status(403, "AccessDeniedException", "no");
    eks.state().describe_faults.extend(vec![denied; 10]);
    let pace = Pace {
        concurrency: 1,
        ..fast()
    };
    let mut reader = Reader::new(eks.client(pace).await, MINUTE);
    let reading = read(&mut reader).await;
    assert!(reading.complete);
    assert_eq!((reading.associations.len(), roles(&reading)), (3, 0));
    let trouble = reading.trouble.unwrap();
    for part in [
        "eks:DescribePodIdentityAssociation",
        "roles of 3 associations",
    ] {
        assert!(trouble.contains(part), "{trouble}");
    }
    // What concerns all of them is not asked three times.
    assert_eq!(eks.state().described().len(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_described_does_not_keep_the_others_waiting() {
    let eks = with(5, 100);
    eks.state().describe_faults.push_back(Fault::Body("{"));
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    let reading = read(&mut reader).await;
    assert_eq!(roles(&reading), 4);
    assert!(reading.trouble.unwrap().contains("roles of 1 associations"));
    let reading = read(&mut reader).await;
    assert_eq!((roles(&reading), reading.trouble), (5, None));
}

#[tokio::test]
async fn many_new_ones_are_told_of_before_they_are_described() {
    let eks = with(60, 100);
    let pace = Pace {
        describe_for: Duration::from_millis(300),
        describe_every: Duration::from_millis(10),
        tell_first: Duration::from_millis(100),
        ..fast()
    };
    let mut reader = Reader::new(eks.client(pace).await, MINUTE);
    let mut interim = None;
    let reading = reader.read(|reading| interim = Some(reading)).await;
    let interim = interim.unwrap();
    assert!(interim.complete);
    assert_eq!((interim.associations.len(), roles(&interim)), (60, 0));
    assert!(interim.trouble.unwrap().contains("60 associations are yet"));
    // As many as the time allowed; the next call goes on.
    let first = roles(&reading);
    assert!((5..=31).contains(&first), "{first}");
    let mut described = first;
    for _ in 0..20 {
        described = roles(&read(&mut reader).await);
    }
    assert_eq!(described, 60);
}

#[tokio::test]
async fn what_was_known_before_us_is_described_in_turn() {
    let eks = with(100, 100);
    let mut reader = Reader::new(eks.client(fast()).await, MINUTE);
    let whole = read(&mut reader).await;
    eks.state().requests.clear();
    let pace = Pace {
        describe_every: Duration::from_millis(2),
        tell_first: Duration::from_millis(20),
        ..fast()
    };
    let mut second = Reader::new(eks.client(pace).await, MINUTE);
    second.seed(&whole.associations);
    // The list's news do not wait for the descriptions, and nothing is unknown meanwhile.
    let mut interim = Vec::new();
    let reading = second.read(|reading| interim.push(reading)).await;
    assert_eq!(interim.len(), 1);
    assert_eq!((roles(&interim[0]), &interim[0].trouble), (100, &None));
    assert_eq!(interim[0].started_at, reading.started_at);
    assert_eq!(roles(&reading), 100);
    assert_eq!(eks.state().described().len(), 100);
}

#[tokio::test]
async fn descriptions_keep_their_distance() {
    let eks = with(10, 100);
    let pace = Pace {
        describe_every: Duration::from_millis(20),
        ..fast()
    };
    let mut reader = Reader::new(eks.client(pace).await, MINUTE);
    let begun = Instant::now();
    read(&mut reader).await;
    assert!(begun.elapsed() >= Duration::from_millis(180));
}
