//! Shortens strings, lists and maps to a number of bytes of JSON, leaving a mark that says how much is gone.

use std::{collections::BTreeMap, sync::Arc};

use super::encode::{escaped_char_len, escaped_len};

/// Room that the mark takes at most.
const MARK: usize = 40;
/// Key of a map's mark.
const CUT: &str = "…";

pub(super) fn cut(s: &mut String, cap: usize) {
    if let Some(end) = cut_at(s, cap) {
        let mark = format!("…[{} bytes cut]", s.len() - end);
        s.truncate(end);
        s.push_str(&mark);
    }
}

pub(super) fn cut_shared(s: &mut Arc<str>, cap: usize) {
    if cut_at(s, cap).is_some() {
        let mut owned = s.to_string();
        cut(&mut owned, cap);
        *s = Arc::from(owned);
    }
}

/// Where to cut so that the rest and the mark fit `cap`; none when all of it fits.
fn cut_at(s: &str, cap: usize) -> Option<usize> {
    // Escaping makes a byte six at most; most strings are far from any cap.
    if s.len() <= cap / 6 || escaped_len(s) <= cap {
        return None;
    }
    let mut left = cap.saturating_sub(MARK);
    let fits = s.char_indices().find(|(_, c)| {
        let len = escaped_char_len(*c);
        let over = len > left;
        left = left.saturating_sub(len);
        over
    });
    fits.map(|(at, _)| at)
}

pub(super) fn cut_list(list: &mut Vec<String>, cap: usize) {
    const PUNCTUATION: usize = 3;
    let cost = |s: &String| escaped_len(s) + PUNCTUATION;
    if list.iter().map(cost).sum::<usize>() <= cap {
        return;
    }
    let mut left = cap.saturating_sub(MARK);
    let keep = list.iter().take_while(|s| take(&mut left, cost(s))).count();
    let mark = format!("…[{} more cut]", list.len() - keep);
    list.truncate(keep);
    list.push(mark);
}

pub(crate) fn cut_map(map: &mut BTreeMap<String, String>, cap: usize) {
    const PUNCTUATION: usize = 6;
    let cost = |(k, v): (&String, &String)| escaped_len(k) + escaped_len(v) + PUNCTUATION;
    if map.iter().map(cost).sum::<usize>() <= cap {
        return;
    }
    // What was cut before is counted with what goes now.
    let earlier = map.remove(CUT).and_then(|mark| {
        let count = mark.strip_prefix('[')?.strip_suffix(" more cut]")?;
        count.parse::<usize>().ok()
    });
    let (before, mut left) = (map.len(), cap.saturating_sub(MARK));
    map.retain(|k, v| take(&mut left, cost((k, v))));
    let gone = (before - map.len()).saturating_add(earlier.unwrap_or_default());
    map.insert(CUT.to_owned(), format!("[{gone} more cut]"));
}

pub(super) fn cut_numbers(map: &mut BTreeMap<String, u32>, cap: usize) {
    const NUMBER: usize = 14;
    let mut left = cap;
    map.retain(|k, _| take(&mut left, escaped_len(k) + NUMBER));
}

/// Takes `cost` out of `left` if it is in there.
fn take(left: &mut usize, cost: usize) -> bool {
    match left.checked_sub(cost) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_string_says_how_much_is_missing_and_fits() {
        let mut s = "é\n".repeat(100);
        cut(&mut s, 96);
        assert!(s.starts_with("é\né\n") && s.ends_with(" bytes cut]"), "{s}");
        assert!(escaped_len(&s) <= 96);
        let kept = s.find('…').unwrap();
        assert!(s.contains(&format!("[{} bytes cut]", 300 - kept)));
    }

    #[test]
    fn what_fits_is_left_alone() {
        let mut s = "x".repeat(96);
        cut(&mut s, 96);
        assert_eq!(s, "x".repeat(96));
        let mut list = vec!["a".to_owned(), "b".to_owned()];
        cut_list(&mut list, 8);
        assert_eq!(list, ["a", "b"]);
    }

    #[test]
    fn lists_and_maps_keep_what_fits_and_count_the_rest() {
        let mut list: Vec<_> = (10..60).map(|n| n.to_string()).collect();
        cut_list(&mut list, 60);
        assert_eq!(list, ["10", "11", "12", "13", "…[46 more cut]"]);
        let mut map: BTreeMap<_, _> = (10..60).map(|n| (n.to_string(), "v".to_owned())).collect();
        cut_map(&mut map, 60);
        assert_eq!(map.len(), 3);
        assert_eq!(map["…"], "[48 more cut]");
        map.insert("1".repeat(60), String::new());
        cut_map(&mut map, 60);
        assert_eq!(map["…"], "[49 more cut]", "the first cut counts too");
    }
}
