//! What the fuzz targets share: a heap that is measured, and what must hold of a line of output.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use serde_json::Value;

struct Measured;

#[global_allocator]
static HEAP: Measured = Measured;
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: each call is the system allocator's own; the counters hand out nothing.
unsafe impl GlobalAlloc for Measured {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work`; fails where it held more than `limit` bytes of heap beyond what was there before.
pub fn bounded<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(peak <= limit, "held {peak} bytes of heap, allowed {limit}");
    result
}

/// Container runtimes split log lines here (auditor::report::LINE_LIMIT).
const LINE_LIMIT: usize = 16 * 1024;

/// What a terminal takes for a command, turns the reading direction, or is not seen (Unicode's Bidi_Control, and format
/// characters of no width).
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// One JSON object on one line under the limit, with nothing in it that is a command.
pub fn line(bytes: &[u8]) -> Value {
    assert!(bytes.len() < LINE_LIMIT, "{} bytes", bytes.len());
    let text = std::str::from_utf8(bytes).expect("a line is UTF-8");
    let text = text.strip_suffix('\n').expect("a line ends");
    let bad = text.chars().find(|c| is_command(*c));
    assert_eq!(bad, None, "in {text}");
    let value: Value = serde_json::from_str(text).expect("a line is JSON");
    assert!(value.is_object() && value["event"].is_string());
    value
}
