//! A recorded stream can be anybody's: whatever JSON it holds is one line of text that commands no terminal.
#![no_main]

use auditor::text::{self, Style, Times};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(event) = serde_json::from_slice(data) else {
        return;
    };
    let whole = Style {
        painted: false,
        width: None,
        times: Times::Whole,
        ids: true,
    };
    // A field has 1,024 columns at most, and a line some dozen of them, but for lists.
    let limit = (1 << 20) + 64 * data.len();
    let text = fuzz::bounded(limit, || text::line(&event, whole));
    let bad = text.chars().find(|c| fuzz::is_command(*c));
    assert_eq!(bad, None, "{text:?}");
    let narrow = Style {
        width: Some(80),
        ..whole
    };
    let cut = text::line(&event, narrow);
    assert!(cut.chars().count() <= 80, "{cut:?}");
    let start = cut.trim_end_matches('…').trim_end();
    assert!(text.starts_with(start), "{cut:?} of {text:?}");
});
