use super::*;

fn read(text: &str) -> Result<TrustPolicy, String> {
    let json: Json = serde_json::from_str(text).unwrap();
    TrustPolicy::read(&json)
}

/// One statement in a policy.
fn with(statement: &str) -> Result<TrustPolicy, String> {
    read(&format!(
        r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#
    ))
}

const PLAIN: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow",
    "Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}"#;

#[test]
fn an_object_its_text_and_its_encoded_text_are_the_same() {
    let plain = read(PLAIN).unwrap();
    let text = Json::String(PLAIN.to_owned());
    assert_eq!(TrustPolicy::read(&text), Ok(plain.clone()));
    let encoded: String = PLAIN
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    assert_eq!(TrustPolicy::read(&Json::String(encoded)), Ok(plain));
    for bad in ["%7", "%zz", "%ff", "hello", "{"] {
        assert!(
            TrustPolicy::read(&Json::String(bad.to_owned())).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn one_and_many_are_written_in_several_ways() {
    let one = with(
        r#"{"Effect":"Deny","Principal":"*","NotAction":"sts:TagSession",
            "Condition":{"StringEquals":{"a":"1","b":["2","3"]},"Bool":{"c":true}}}"#,
    )
    .unwrap();
    let statement = &one.statements[0];
    assert_eq!(statement.principal, Principal::Anyone);
    assert_eq!(
        (statement.effect, &statement.action),
        (Effect::Deny, &Action::Not)
    );
    let conditions: Vec<_> = statement
        .conditions
        .iter()
        .map(|c| (&*c.written, &*c.key, c.values.join(",")))
        .collect();
    assert_eq!(
        conditions,
        [
            ("StringEquals", "a", "1".to_owned()),
            ("StringEquals", "b", "2,3".to_owned()),
            ("Bool", "c", "true".to_owned())
        ]
    );
    let bare = read(r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":["1","2"],"Federated":"f"},"Action":"sts:*"}}"#).unwrap();
    assert_eq!(bare.statements[0].principals(PrincipalKind::Aws).count(), 2);
    assert_eq!(bare.statements[0].to_string(), "statement 1");
    assert_eq!(
        read(PLAIN).unwrap().statements[0].to_string(),
        "statement 1 (A)"
    );
}

#[test]
fn what_iam_refuses_is_named() {
    for (statement, word) in [
        (
            r#"{"Effect":"allow","Principal":"*","Action":"a"}"#,
            "Effect",
        ),
        (r#"{"Effect":"Allow","Action":"a"}"#, "Principal"),
        (
            r#"{"Effect":"Allow","Principal":"*","NotPrincipal":"*","Action":"a"}"#,
            "one of",
        ),
        (r#"{"Effect":"Allow","Principal":"*"}"#, "Action"),
        (
            r#"{"Effect":"Allow","Principal":"pods.eks.amazonaws.com","Action":"a"}"#,
            "kind",
        ),
        (
            r#"{"Effect":"Allow","Principal":["*"],"Action":"a"}"#,
            "object",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"service":"x"},"Action":"a"}"#,
            "expected AWS",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"a","Resource":"*"}"#,
            "Resource",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"a","Conditions":{}}"#,
            "Conditions",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":{"a":1}}"#,
            "Action",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"a","Condition":{"StringEquals":{"a":"1"},"StringEquals":{"b":"2"}}}"#,
            "twice",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"a","Condition":{"StringEquals":"x"}}"#,
            "object",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"a","Condition":{"StringEquals":{"a":{}}}}"#,
            "text",
        ),
    ] {
        let error = with(statement).unwrap_err();
        assert!(
            error.contains(word) && error.contains("statement 1"),
            "{statement}: {error}"
        );
    }
    assert!(read("{}").unwrap_err().contains("Statement"));
    assert!(
        read(r#"{"Statement":[],"Extra":1}"#)
            .unwrap_err()
            .contains("Extra")
    );
    assert!(read("[]").unwrap_err().contains("object"));
}

#[test]
fn depth_and_length_are_bounded() {
    let long = format!(r#"{{"Statement":[],"Id":"{}"}}"#, "x".repeat(SIZE_LIMIT));
    assert!(
        TrustPolicy::read(&Json::String(long))
            .unwrap_err()
            .contains("longer")
    );
    let many = format!(r#"{{"Statement":[{}{{}}]}}"#, "{},".repeat(SIZE_LIMIT));
    assert!(read(&many).unwrap_err().contains("longer"));
    let deep = format!("{{\"Statement\":{}", "[".repeat(100_000));
    assert!(TrustPolicy::read(&Json::String(deep)).is_err());
    assert_eq!(clip(&"é".repeat(300)).chars().count(), 201);
}

proptest::proptest! {
    #[test]
    fn nothing_written_makes_it_panic(text in ".{0,200}") {
        let _ = TrustPolicy::read(&Json::String(text.clone()));
        if let Ok(json) = serde_json::from_str::<Json>(&text) {
            let _ = TrustPolicy::read(&json);
        }
    }
}
