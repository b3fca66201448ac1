//! Pods and ServiceAccounts, as JSON or YAML: labels and annotations are anybody's.
#![no_main]

use auditor::cluster::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A mebibyte for what the parsers keep whatever they read, then so many bytes for each one that was read.
    let limit = (1 << 20) + 2048 * data.len();
    match fuzz::bounded(limit, || parse(data)) {
        Ok(contents) => {
            for pod in &contents.pods {
                assert!(!pod.name.is_empty() && !pod.uid.is_empty() && !pod.namespace.is_empty());
            }
            for account in &contents.service_accounts {
                assert!(!account.name.is_empty() && !account.namespace.is_empty());
            }
            assert_eq!(parse(data), Ok(contents), "the same bytes mean the same");
        }
        Err(error) => {
            let _ = fuzz::line(
                &auditor::fuzzing::line(health(&error.to_string()), "node").expect("it fits"),
            );
        }
    }
});

fn health(message: &str) -> auditor::event::Body {
    auditor::event::Body::Health(auditor::event::Health {
        component: "cluster".to_owned(),
        state: "reload-refused".to_owned(),
        message: message.to_owned(),
    })
}
