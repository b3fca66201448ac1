//! Against a server that keeps a history and fails in every way at random: each event arrives once and in order, and in the
//! end the listener knows what the server knows.

use std::{
    collections::BTreeMap,
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use super::*;

const NAMES: u32 = 12;
const EVENTS: u32 = 240;

/// What the server knows after so many events: of each name the version of its last change.
static STATES: LazyLock<Vec<BTreeMap<String, u32>>> = LazyLock::new(|| {
    let mut state = BTreeMap::new();
    let mut states = vec![state.clone()];
    for version in 1..=EVENTS {
        let (kind, name) = change(version);
        if kind == "DELETED" {
            state.remove(&name);
        } else {
            state.insert(name, version);
        }
        states.push(state.clone());
    }
    states
});

fn state(version: u32) -> &'static BTreeMap<String, u32> {
    &STATES[version as usize]
}

/// The event that made this version.
fn change(version: u32) -> (&'static str, String) {
    // Each name is added, changed and deleted in turn, so that every kind occurs in every order.
    let (round, name) = (version / NAMES, (version * 7) % NAMES);
    let kind = match (round + name) % 3 {
        0 => "ADDED",
        1 => "MODIFIED",
        _ => "DELETED",
    };
    (kind, format!("n{name}"))
}

fn history(versions: std::ops::RangeInclusive<u32>) -> String {
    let lines = versions.map(|version| {
        let (kind, name) = change(version);
        event(kind, &name, version)
    });
    lines.collect()
}

fn parameter(path: &str, key: &str) -> Option<u32> {
    let query = path.split_once('?').unwrap().1;
    let value = query.split('&').find_map(|p| p.strip_prefix(key))?;
    Some(value.parse().unwrap())
}

/// splitmix64
fn random(seed: &AtomicU64) -> u32 {
    let mut z = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((z ^ (z >> 31)) >> 40).unwrap()
}

fn things(until: u32) -> Vec<String> {
    let state = state(until);
    state
        .iter()
        .map(|(name, version)| thing(name, *version))
        .collect()
}

/// `clock`: the version that the server is at; it moves on with each request.
fn answer(path: &str, seed: &AtomicU64, clock: &AtomicU32, has_streaming: bool) -> Reply {
    let now = clock
        .fetch_add(random(seed) % 4, Ordering::Relaxed)
        .min(EVENTS);
    let from = parameter(path, "resourceVersion=").filter(|from| *from > 0);
    match random(seed) % 12 {
        0 => return Reply::status(500, "etcd"),
        1 => return Reply::status(429, "busy"),
        2 => return Reply::ok("<html>busy</html>\n"),
        3 => return Reply::ok("").end(End::Cut),
        4 if from.is_some() => return Reply::status(410, "too old"),
        _ => {}
    }
    if !path.contains("watch=true") {
        // The second page begins in the middle.
        let at = parameter(path, "continue=");
        let all = things(at.unwrap_or(now));
        let half = all.len() / 2;
        return match at {
            Some(_) if random(seed).is_multiple_of(4) => Reply::status(410, "expired"),
            Some(at) => page(at, "", &all[half..]),
            None => page(now, &now.to_string(), &all[..half]),
        };
    }
    let Some(from) = from else {
        if !has_streaming {
            return no_streaming();
        }
        let listed: String = state(now)
            .iter()
            .map(|(name, version)| event("ADDED", name, *version))
            .collect();
        let after = (now + random(seed) % 4).min(EVENTS);
        let more = history(now + 1..=after);
        return match random(seed) % 3 {
            0 => Reply::ok(listed).end(End::Cut),
            1 => Reply::ok(listed + &end_of_listing(now) + &more).end(End::Cut),
            _ => Reply::ok(listed + &end_of_listing(now) + &more + &bookmark(after)),
        };
    };
    if from >= EVENTS {
        return Reply::ok(bookmark(from)).end(End::Hang);
    }
    let until = (from + random(seed) % 8).min(EVENTS);
    let events = history(from + 1..=until);
    let next = history(until + 1..=(until + 1).min(EVENTS));
    match random(seed) % 5 {
        0 => Reply::ok(events),
        1 => Reply::ok(events).end(End::Cut),
        2 => Reply::ok(events + &next[..next.len() / 2]).end(End::Cut),
        3 => Reply::ok(events + "{\"type\":\"ADDED\",\"obj\n" + &next),
        _ => Reply::ok(events + &error_event(410, "compacted")),
    }
}

async fn run(start: u64, has_streaming: bool) {
    let moment = Duration::from_millis(1);
    let timing = Timing {
        backoff_least: moment,
        backoff_most: moment,
        refused: moment,
        short_watch: moment,
        ..fast()
    };
    let (seed, clock) = (AtomicU64::new(start), AtomicU32::new(1));
    let answering = move |path: &str| answer(path, &seed, &clock, has_streaming);
    let server = Server::answering(timing, answering).await;
    let resource = Resource {
        api: "/api/v1",
        plural: "pods",
        namespace: None,
        field_selector: None,
        from_cache: true,
    };
    let (sink, mut changes) = mpsc::channel(4);
    tokio::spawn(ListWatch::<Thing>::new(server.api.clone(), resource, sink).run());

    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    let mut last: Option<u32> = None;
    let last_state = state(EVENTS);
    let (mut events, mut listings) = (0, 0);
    let of = |thing: Thing| {
        let version: u32 = thing.metadata.resource_version.parse().unwrap();
        (thing.metadata.name, version)
    };
    // The last version is known, by an event or by a listing of all.
    while last != Some(EVENTS) && &known != last_state {
        let next = timeout(Duration::from_secs(10), changes.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("start {start}: stuck at {last:?}"));
        let (thing, kind) = match next.expect("it has ended") {
            Change::Listed { items, .. } => {
                known = items.into_iter().map(of).collect();
                let newest = known.values().max().copied().unwrap_or(0);
                assert!(
                    (newest..=EVENTS).any(|v| *state(v) == known),
                    "start {start}"
                );
                last = None;
                listings += 1;
                continue;
            }
            Change::Applied(thing) => (of(thing), "applied"),
            Change::Deleted(thing) => (of(thing), "deleted"),
            Change::Heard(_) | Change::Trouble(_) => continue,
        };
        let (name, version) = thing;
        match last {
            Some(last) => assert_eq!(version, last + 1, "start {start}: lost or twice"),
            // The listing was as of the version before.
            None => assert_eq!(&known, state(version - 1), "start {start}: after a listing"),
        }
        if kind == "deleted" {
            known.remove(&name);
        } else {
            known.insert(name, version);
        }
        assert_eq!(&known, state(version), "start {start}");
        last = Some(version);
        events += 1;
    }
    assert_eq!(&known, last_state, "start {start}");
    assert!(
        events > 30 && listings > 2,
        "start {start}: {events} events, {listings} listings"
    );
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice() {
    let runs = (1..=12).map(|start| async move {
        let within = timeout(Duration::from_secs(60), run(start, start % 2 == 0)).await;
        within.unwrap_or_else(|_| panic!("start {start}: never came to the end"));
    });
    futures::future::join_all(runs).await;
}
