//! Connections whose end nobody will be told of, because too many were open at once: when it comes, it is lost and counted so.

use std::collections::{HashSet, VecDeque};

use auditor_common::ConnectKey;

/// 1.5 MB. Of those beyond only the number is known.
const REMEMBERED: usize = 32_768;

#[derive(Debug, Default)]
pub struct Forgotten {
    keys: HashSet<ConnectKey>,
    order: VecDeque<ConnectKey>,
    beyond: u64,
}

impl Forgotten {
    pub fn note(&mut self, key: ConnectKey) {
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            // Not one whose end was told.
            self.beyond += u64::from(self.keys.remove(&oldest));
        }
    }

    /// Whether it is one of them; the next time it is not. While there are some of which only the number is known, any end that nothing
    /// else explains is one of those.
    pub fn take(&mut self, key: &ConnectKey) -> bool {
        if self.keys.remove(key) {
            return true;
        }
        let is_beyond = self.beyond > 0;
        self.beyond = self.beyond.saturating_sub(1);
        is_beyond
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
        assert_eq!(forgotten.order.len(), REMEMBERED);
        assert!(forgotten.take(&key(5)));
        assert!((0..5).all(|time| forgotten.take(&key(time))));
        assert!(!forgotten.take(&key(5)));
        assert!(!forgotten.take(&key(4)));
    }
}
