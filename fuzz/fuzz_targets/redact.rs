//! `--args redacted`: arguments with secrets in them.
#![no_main]

use auditor::fuzzing::redact;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "c0rrecth0rse";

fuzz_target!(|data: &[u8]| {
    let args: Vec<String> = data
        .split(|byte| *byte == 0)
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect();
    let size: usize = args.iter().map(String::len).sum();
    let masked = fuzz::bounded(64 * (size + args.len()) + 4096, || redact(args.clone()));
    assert_eq!(masked.len(), args.len());
    // `***` stands for one byte at least.
    let after: usize = masked.iter().map(String::len).sum();
    assert!(after <= 4 * size + 4, "{size} became {after}");
    // Whatever stands before it, a secret that is named goes.
    for named in [
        vec!["--password".to_owned(), SECRET.to_owned()],
        vec![format!("--password={SECRET}")],
        vec![format!("AWS_SECRET_ACCESS_KEY={SECRET}")],
        vec![format!("https://user:{SECRET}@host/")],
    ] {
        let with: Vec<String> = args.iter().cloned().chain(named).collect();
        let text = redact(with.clone());
        let told = text.iter().skip(args.len()).any(|arg| arg.contains(SECRET));
        assert!(!told, "{with:?} became {text:?}");
    }
});
