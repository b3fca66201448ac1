//! Lines of output: any text in every place of every kind of event.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Which kind of event, how often the text is repeated, how many there are where there may be several, then the text.
fuzz_target!(|data: &[u8]| {
    let Some(([kind, times, many], text)) = data.split_first_chunk::<3>() else {
        return;
    };
    let (times, many) = (usize::from(*times % 64) + 1, usize::from(*many % 64));
    let text = String::from_utf8_lossy(text);
    // More of either is only slower: the text stands in some forty places.
    if text.len() * times * (many + 1) > 16 << 10 {
        return;
    }
    let text = text.repeat(times);
    let size = text.len() * (many + 1);
    let mut bodies = auditor::fuzzing::bodies(&text, many);
    let body = bodies.swap_remove(usize::from(*kind) % bodies.len());
    // The text stands in some forty places, each byte of it may be six when escaped, and the buffer that first holds all of it
    // grows by doubling: its old half is there meanwhile.
    let limit = (64 << 10) + 40 * 6 * 3 * size;
    let line = fuzz::bounded(limit, || auditor::fuzzing::line(body, &text));
    let line = line.expect("every body fits");
    let value = fuzz::line(&line);
    assert_eq!(value["seq"], u64::MAX);
});
