//! Who may hold a connection: each peer a few, and where all are taken the peer that has most makes room.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinHandle;

/// Of all peers together.
pub(super) const MOST: usize = 64;
/// Of one address. Who scrapes, or probes, holds one for some milliseconds.
pub(super) const MOST_OF_ONE: usize = 8;

/// A connection as far as the choice goes. Its request is being answered from when it has arrived in full until the other
/// side has the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seat {
    peer: IpAddr,
    is_answered: bool,
}

/// What becomes of one that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Room,
    /// Instead of the one at this index.
    InsteadOf(usize),
    Refused,
}

/// `seats`: oldest first. Nobody makes room for a peer that has more than he, and none is ended whose request is being answered.
fn admit(seats: &[Seat], peer: IpAddr) -> Admission {
    let held = seats.iter().filter(|seat| seat.peer == peer).count();
    if held < MOST_OF_ONE && seats.len() < MOST {
        return Admission::Room;
    }
    let mut counts: HashMap<IpAddr, usize> = HashMap::from([(peer, 1)]);
    for seat in seats {
        *counts.entry(seat.peer).or_default() += 1;
    }
    let of = |seat: &Seat| counts.get(&seat.peer).copied().unwrap_or_default();
    let least = of(&Seat {
        peer,
        is_answered: false,
    });
    let may_end = |seat: &Seat| {
        !seat.is_answered && (held < MOST_OF_ONE || seat.peer == peer) && of(seat) >= least
    };
    let candidates = seats.iter().enumerate().filter(|(_, seat)| may_end(seat));
    // Of several that are the greatest the last is taken: reversed, that is the oldest.
    match candidates.rev().max_by_key(|(_, seat)| of(seat)) {
        Some((index, _)) => Admission::InsteadOf(index),
        None => Admission::Refused,
    }
}

/// Set while a connection's request is being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

impl Answered {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Connection {
    peer: IpAddr,
    answered: Answered,
    task: JoinHandle<()>,
}

/// Oldest first.
#[derive(Default)]
pub(super) struct Connections(VecDeque<Connection>);

impl Connections {
    /// Whether there is room for one of `peer`, which another may have been ended for.
    pub fn admit(&mut self, peer: IpAddr) -> bool {
        self.0.retain(|connection| !connection.task.is_finished());
        let seat = |connection: &Connection| Seat {
            peer: connection.peer,
            is_answered: connection.answered.is(),
        };
        let seats: Vec<Seat> = self.0.iter().map(seat).collect();
        match admit(&seats, peer) {
            Admission::Room => true,
            Admission::InsteadOf(index) => {
                if let Some(connection) = self.0.remove(index) {
                    connection.task.abort();
                }
                true
            }
            Admission::Refused => false,
        }
    }

    pub fn add(&mut self, peer: IpAddr, answered: Answered, task: JoinHandle<()>) {
        self.0.push_back(Connection {
            peer,
            answered,
            task,
        });
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        for connection in &self.0 {
            connection.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(last: usize) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, u8::try_from(last).unwrap()).into()
    }

    /// `count` seats of each peer, all of one peer's after the others'.
    fn seats(of: impl IntoIterator<Item = (usize, usize)>) -> Vec<Seat> {
        let each = of.into_iter().flat_map(|(last, count)| {
            let seat = Seat {
                peer: peer(last),
                is_answered: false,
            };
            std::iter::repeat_n(seat, count)
        });
        each.collect()
    }

    #[test]
    fn who_has_his_fill_makes_room_for_himself() {
        let mut held = seats([(1, 1), (2, MOST_OF_ONE), (3, 1)]);
        assert_eq!(admit(&held, peer(2)), Admission::InsteadOf(1));
        held[1].is_answered = true;
        assert_eq!(admit(&held, peer(2)), Admission::InsteadOf(2));
        for seat in &mut held {
            seat.is_answered = seat.peer == peer(2);
        }
        assert_eq!(admit(&held, peer(2)), Admission::Refused);
        assert_eq!(admit(&held, peer(1)), Admission::Room);
        assert_eq!(admit(&held, peer(4)), Admission::Room);
    }

    #[test]
    fn where_all_are_taken_the_oldest_of_who_has_most_goes() {
        // 7 of each of 8 peers, one that has 8 at last: 64.
        let most = (9, 8);
        let held = seats((1..=8).map(|last| (last, 7)).chain([most]));
        assert_eq!(held.len(), MOST);
        assert_eq!(admit(&held, peer(10)), Admission::InsteadOf(56));
        assert_eq!(admit(&held, peer(9)), Admission::InsteadOf(56));
        // With the one that comes he has as many: the oldest of both.
        assert_eq!(admit(&held, peer(2)), Admission::InsteadOf(7));
    }

    #[test]
    fn nobody_makes_room_for_one_that_has_more_and_no_answer_is_cut_off() {
        // One of each of 57 peers, and 7 of one that comes again.
        let mut held = seats((1..=57).map(|last| (last, 1)).chain([(100, 7)]));
        assert_eq!(held.len(), MOST);
        assert_eq!(admit(&held, peer(100)), Admission::InsteadOf(57));
        assert_eq!(admit(&held, peer(101)), Admission::InsteadOf(57));
        for seat in &mut held[57..] {
            seat.is_answered = true;
        }
        assert_eq!(admit(&held, peer(100)), Admission::Refused);
        // Those who have one each have no more than he.
        assert_eq!(admit(&held, peer(101)), Admission::InsteadOf(0));
        held[0].is_answered = true;
        assert_eq!(admit(&held, peer(101)), Admission::InsteadOf(1));
    }
}
