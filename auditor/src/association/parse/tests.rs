use proptest::prelude::*;

use super::*;

/// `aws eks describe-pod-identity-association`, as the CLI prints it.
const DESCRIBED: &str = r#"{"association":{"clusterName":"prod","namespace":"payments","serviceAccount":"api",
    "roleArn":"arn:aws:iam::111122223333:role/payments-api",
    "associationArn":"arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/a-1",
    "associationId":"a-1","tags":{"team":"pay"},"createdAt":"2026-09-21T15:33:20.123000+02:00","modifiedAt":1790000100.5,
    "disableSessionTags":true,"targetRoleArn":"arn:aws:iam::444455556666:role/bucket-reader",
    "externalId":"x","policy":"{\"Version\":\"2012-10-17\"}"}}"#;

fn list(entries: &[&str]) -> String {
    format!(r#"{{"associations":[{}]}}"#, entries.join(","))
}

fn bare(id: &str, cluster: &str) -> String {
    format!(
        r#"{{"clusterName":"{cluster}","namespace":"payments","serviceAccount":"api","associationId":"{id}"}}"#
    )
}

#[test]
fn reads_what_the_cli_prints() {
    let listing = parse(list(&[DESCRIBED]).as_bytes(), Some("prod")).unwrap();
    assert!(listing.complete);
    let [association] = listing.associations.as_slice() else {
        panic!("{listing:?}");
    };
    assert_eq!(&*association.id, "a-1");
    assert_eq!(&*association.namespace, "payments");
    assert_eq!(&*association.service_account, "api");
    assert_eq!(
        association.role_arn.as_deref(),
        Some("arn:aws:iam::111122223333:role/payments-api")
    );
    assert_eq!(
        association.target_role_arn.as_deref(),
        Some("arn:aws:iam::444455556666:role/bucket-reader")
    );
    assert_eq!(association.external_id.as_deref(), Some("x"));
    assert!(association.disable_session_tags);
    assert_eq!(
        association.policy.as_deref(),
        Some(r#"{"Version":"2012-10-17"}"#)
    );
    assert_eq!(
        association.created.unwrap().to_string(),
        "2026-09-21T13:33:20.123Z"
    );
    assert_eq!(
        association.modified.unwrap().to_string(),
        "2026-09-21T14:15:00.5Z"
    );
}

#[test]
fn bare_and_wrapped_are_the_same() {
    let (open, close) = (r#"{"association":"#.len(), DESCRIBED.len() - 1);
    let unwrapped = &DESCRIBED[open..close];
    assert_eq!(
        parse(list(&[unwrapped]).as_bytes(), None),
        parse(list(&[DESCRIBED]).as_bytes(), None)
    );
}

#[test]
fn keeps_only_our_cluster() {
    let text = list(&[&bare("a-1", "blue"), &bare("a-2", "green")]);
    let listing = parse(text.as_bytes(), Some("green")).unwrap();
    assert_eq!(listing.associations.len(), 1);
    assert_eq!(&*listing.associations[0].id, "a-2");
    let error = parse(text.as_bytes(), None).unwrap_err().to_string();
    for part in ["payments/api", "a-1", "a-2", "--cluster-name"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_page_is_not_the_whole() {
    for (text, complete) in [
        (r#"{"associations":[]}"#, true),
        (r#"{"associations":[],"nextToken":null}"#, true),
        (r#"{"associations":[],"nextToken":"abc"}"#, false),
        (r#"{"associations":[],"complete":false}"#, false),
    ] {
        let listing = parse(text.as_bytes(), None).unwrap();
        assert_eq!(listing.complete, complete, "{text}");
    }
}

#[test]
fn a_wrong_shape_names_its_place() {
    for (text, parts) in [
        (String::new(), vec!["is empty"]),
        ("{}".to_owned(), vec!["`associations`"]),
        ("[]".to_owned(), vec!["line 1"]),
        (r#"{"associations":[]} x"#.to_owned(), vec!["trailing"]),
        (list(&["{}"]), vec!["associations[0]", "`namespace`"]),
        (
            list(&[&bare("a-1", "c"), r#"{"association":{"namespace":7}}"#]),
            vec!["associations[1]", "namespace", "integer"],
        ),
        (
            list(&[
                r#"{"namespace":"a","serviceAccount":"b","associationId":"c","createdAt":true}"#,
            ]),
            vec!["associations[0]", "createdAt", "ISO 8601"],
        ),
    ] {
        let error = parse(text.as_bytes(), None).expect_err(&text).to_string();
        assert!(!error.contains(".: "), "{error}");
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
        }
    }
}

proptest! {
    #[test]
    fn never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = list(&[DESCRIBED]).into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = parse(&bytes, Some("prod"));
        let _ = parse(&noise, None);
    }

    #[test]
    fn any_number_is_a_time_or_none(seconds in any::<f64>()) {
        let _ = Time::Seconds(seconds).timestamp();
    }
}
