//! The operator's policy, and its patterns.
#![no_main]

use auditor::policy::{Pattern, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limit = (1 << 20) + 2048 * data.len();
    if let Ok(policy) = fuzz::bounded(limit, || Policy::parse(data)) {
        assert!(policy.unused_after.as_secs() > 0);
        assert!(policy.exempt.iter().all(|e| !e.reason.trim().is_empty()));
        assert_eq!(Policy::parse(data), Ok(policy));
    }
    let text = String::from_utf8_lossy(data);
    if let Some((pattern, text)) = text.split_once('\n') {
        let matches = Pattern::from(pattern).matches(text);
        if !pattern.contains('*') {
            assert_eq!(matches, pattern == text);
        }
        assert!(Pattern::from(format!("*{text}*").as_str()).matches(&text.replace('*', "x")));
    }
});
