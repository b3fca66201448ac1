use auditor_common::TaskContext;
use zerocopy::FromZeros as _;

use super::*;
use crate::node::describe_process;

fn key(time: u64) -> ConnectKey {
    ConnectKey { socket: 1, time }
}

fn open(party: u64) -> Open {
    let endpoint = Endpoint {
        name: "imds".into(),
        kind: EndpointKind::Imds,
        address: "192.0.2.1:80".parse().unwrap(),
    };
    Open {
        id: Uuid::nil(),
        boot_ns: 0,
        party,
        connection: connection(&endpoint, &ConnectRecord::new_zeroed(), None),
        endpoint,
        who: Who::Host,
        process: describe_process(&TaskContext::new_zeroed(), &Clock::now(), None),
        pending: None,
    }
}

impl Connects {
    fn put(&mut self, time: u64, party: u64) {
        let waiting = Waiting {
            record: ConnectRecord::new_zeroed(),
            party,
            latency_us: 0,
            attributed: None,
            next_look: None,
            outcome: None,
            closed: None,
            is_late: false,
        };
        self.waiting.insert(key(time), Box::new(waiting));
        self.order.push_back(key(time));
    }
}

fn times(keys: &[ConnectKey]) -> Vec<u64> {
    keys.iter().map(|key| key.time).collect()
}

#[test]
fn who_opens_without_end_has_only_his_own_forgotten() {
    let mut connects = Connects::default();
    assert!(connects.remember(key(0), open(2)).is_empty());
    let flood = 1..OPEN as u64;
    for time in flood {
        assert!(connects.remember(key(time), open(1)).is_empty());
    }
    let gone = connects.remember(key(OPEN as u64), open(1));
    assert_eq!(gone.len(), OUT_AT_ONCE);
    assert!(gone.iter().all(|open| open.party == 1));
    assert!(connects.open.contains_key(&key(0)));
    assert!(!connects.open.contains_key(&key(1)));
    assert!(connects.forgotten.take(&key(1)));
}

#[test]
fn who_has_many_due_lets_others_have_their_turn() {
    let mut connects = Connects::default();
    (0..100).for_each(|time| connects.put(time, 1));
    connects.put(100, 2);
    assert_eq!(times(&connects.due(3, |_, _| true)), [0, 1, 100]);
    connects.waiting.remove(&key(0));
    let is_odd = |key: &ConnectKey, _: &Waiting| key.time % 2 == 1;
    assert_eq!(times(&connects.due(2, is_odd)), [1, 3]);
    assert_eq!(connects.due(usize::MAX, |_, _| true).len(), 100);
    assert!(connects.due(0, |_, _| true).is_empty());
}

#[test]
fn what_makes_room_is_of_the_largest_and_not_its_first() {
    let mut connects = Connects::default();
    connects.put(0, 2);
    assert_eq!(times(&connects.oldest_of_largest()), [0]);
    (1..100).for_each(|time| connects.put(time, 1));
    let out = times(&connects.oldest_of_largest());
    assert_eq!((out[0], out.len()), (2, OUT_AT_ONCE - 1));
}
