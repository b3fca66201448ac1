//! Connections whose end nobody will be told of, because too many were open at once: when it comes, it is lost and counted so.

use std::collections::{HashSet, VecDeque};

use auditor_common::ConnectKey;

/// 1.5 MB. Of those beyond, the end counts as one whose connect is not known.
const REMEMBERED: usize = 32_768;

#[derive(Debug, Default)]
pub struct Forgotten {
    keys: HashSet<ConnectKey>,
    order: VecDeque<ConnectKey>,
}

impl Forgotten {
    pub fn note(&mut self, key: ConnectKey) {
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }

    /// Whether it is one of them; the next time it is not.
    pub fn take(&mut self, key: &ConnectKey) -> bool {
        self.keys.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(time: u64) -> ConnectKey {
        ConnectKey { socket: 1, time }
    }

    #[test]
    fn each_is_told_of_once_and_they_are_bounded() {
        let mut forgotten = Forgotten::default();
        let count = REMEMBERED as u64 + 5;
        (0..count).for_each(|time| forgotten.note(key(time)));
        assert!(!forgotten.take(&key(4)));
        assert!(forgotten.take(&key(5)));
        assert!(!forgotten.take(&key(5)));
        assert_eq!(forgotten.order.len(), REMEMBERED);
    }
}
