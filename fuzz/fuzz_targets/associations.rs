//! Pod Identity associations: a file, and the answers of the EKS API.
#![no_main]

use auditor::association::{Heading, encode, parse, parse_one, parse_page};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limit = (64 << 10) + 512 * data.len();
    let _ = fuzz::bounded(limit, || parse_one(data));
    let page = fuzz::bounded(limit, || parse_page(data));
    let _ = fuzz::bounded(limit, || parse(data, Some("prod")));
    let Ok(read) = fuzz::bounded(limit, || parse(data, None)) else {
        return;
    };
    let page = page.expect("what is a file is a page");
    assert_eq!(page.associations, read.associations);
    let heading = Heading {
        complete: Some(read.complete),
        started_at: read.started_at,
        interval: read.interval,
    };
    let written = encode(heading, &read.associations);
    assert_eq!(parse(&written, None).as_ref(), Ok(&read));
    assert_eq!(encode(heading, &read.associations), written);
});
