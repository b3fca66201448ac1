//! Lines of output: any text in every place of every kind of event.
#![no_main]

use libfuzzer_sys::fuzz_target;

// How often the text is repeated, how many there are where there may be several, then the text.
fuzz_target!(|data: &[u8]| {
    let Some(([times, many], text)) = data.split_first_chunk::<2>() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let text = text.repeat(usize::from(*times % 64) + 1);
    // More of either is only slower.
    if text.len() * (usize::from(*many % 64) + 1) > 64 << 10 {
        return;
    }
    for body in auditor::fuzzing::bodies(&text, usize::from(*many % 64)) {
        let line = auditor::fuzzing::line(body, &text).expect("every body fits");
        let value = fuzz::line(&line);
        assert_eq!(value["seq"], u64::MAX);
    }
});
