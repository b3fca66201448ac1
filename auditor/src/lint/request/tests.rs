use proptest::prelude::*;

use super::{
    super::{condition::Fact, json::Json},
    *,
};

struct Nothing;

impl Facts for Nothing {
    fn fact(&self, key: &str) -> Fact {
        match key {
            "yes" => Fact::is("1"),
            "absent" => Fact::Absent,
            _ => Fact::Unknown,
        }
    }
}

fn policy(statements: &str) -> TrustPolicy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let json: Json = serde_json::from_str(&text).unwrap();
    TrustPolicy::read(&json).unwrap()
}

fn service(action: &str) -> Request<'_> {
    Request {
        caller: Caller::Service("pods.eks.amazonaws.com"),
        action,
        facts: &Nothing,
    }
}

const ALLOW: &str = r#"{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"]},"Action":"STS:assume*"}"#;

#[test]
fn one_allow_is_enough_and_one_deny_too() {
    let verdict = |statements: &str| service("sts:AssumeRole").verdict(&policy(statements));
    assert_eq!(verdict(ALLOW), Truth::Yes);
    assert_eq!(verdict(""), Truth::No);
    let deny = |condition: &str| {
        format!(
            r#"{ALLOW},{{"Effect":"Deny","Principal":{{"Service":"pods.eks.amazonaws.com"}},"Action":"*","Condition":{{{condition}}}}}"#
        )
    };
    assert_eq!(verdict(&deny("")), Truth::No);
    assert_eq!(verdict(&deny(r#""StringEquals":{"yes":"1"}"#)), Truth::No);
    assert_eq!(verdict(&deny(r#""StringEquals":{"yes":"2"}"#)), Truth::Yes);
    assert_eq!(
        verdict(&deny(r#""StringEquals":{"what":"2"}"#)),
        Truth::Unknown
    );
    // All keys and all operators must hold.
    assert_eq!(
        verdict(&deny(r#""StringEquals":{"what":"2","yes":"2"}"#)),
        Truth::Yes
    );
    assert_eq!(
        verdict(&deny(
            r#""StringEquals":{"what":"2"},"StringLike":{"absent":"*"}"#
        )),
        Truth::Yes
    );
}

#[test]
fn what_is_not_decided_says_why() {
    for (statement, word) in [
        (
            r#"{"Effect":"Allow","NotPrincipal":{"AWS":"1"},"Action":"sts:*"}"#,
            "NotPrincipal",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"NotAction":"sts:TagSession"}"#,
            "NotAction",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#,
            "Principal \"*\"",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*"}"#,
            "principal",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}"#,
            "IpAddress on aws:SourceIp",
        ),
    ] {
        let policy = policy(statement);
        match service("sts:AssumeRole").obstacle(&policy) {
            Obstacle::Undecided(why) => {
                assert!(why.iter().any(|why| why.contains(word)), "{why:?}");
            }
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[test]
fn the_nearest_statement_is_told() {
    let statements = r#"{"Sid":"far","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"absent":"1","yes":"2"}}},
           {"Sid":"near","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"yes":["2","3"],"what":"1"}}}"#;
    let policy = policy(statements);
    let request = service("sts:AssumeRole");
    let Obstacle::Conditions(statement, failing) = request.obstacle(&policy) else {
        panic!();
    };
    assert_eq!(statement.sid.as_deref(), Some("near"));
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0].key, "yes");
    assert!(
        matches!(service("sts:TagSession").obstacle(&policy), Obstacle::Action(named) if named.len() == 2)
    );
}

#[test]
fn a_role_is_named_by_itself_its_account_or_its_id() {
    let arn = RoleArn::parse("arn:aws-cn:iam::111122223333:role/a/b").unwrap();
    let is = |name: &str, id| Caller::Role(&arn, id).is(PrincipalKind::Aws, name);
    for name in [
        "arn:aws-cn:iam::111122223333:role/a/b",
        "arn:aws-cn:iam::111122223333:root",
        "111122223333",
        "*",
    ] {
        assert_eq!(is(name, None), Truth::Yes, "{name}");
    }
    for name in [
        "arn:aws-cn:iam::111122223333:role/b",
        "arn:aws:iam::111122223333:root",
        "arn:aws-cn:iam::111122223333:role/*",
        "444455556666",
        "arn:aws-cn:sts::111122223333:assumed-role/b/x",
    ] {
        assert_eq!(is(name, None), Truth::No, "{name}");
    }
    assert_eq!(is("AROA1", None), Truth::Unknown);
    assert_eq!(is("AROA1", Some("AROA1")), Truth::Yes);
    assert_eq!(is("AROA1", Some("AROA2")), Truth::No);
}

fn statement(effect: &'static str) -> impl Strategy<Value = String> {
    let principal = prop_oneof![
        Just(r#""Principal":"*""#),
        Just(r#""NotPrincipal":{"AWS":"1"}"#),
        Just(r#""Principal":{"Service":"pods.eks.amazonaws.com"}"#),
        Just(r#""Principal":{"Service":"ec2.amazonaws.com"}"#),
    ];
    let action = prop_oneof![
        Just(r#""Action":"sts:AssumeRole""#),
        Just(r#""Action":["sts:TagSession"]"#),
        Just(r#""NotAction":"sts:TagSession""#),
    ];
    let operator = prop_oneof![
        Just("StringEquals"),
        Just("StringNotLike"),
        Just("StringEqualsIfExists"),
        Just("ForAllValues:StringLike"),
        Just("DateLessThan"),
    ];
    let key = prop_oneof![Just("yes"), Just("absent"), Just("what")];
    let condition = (operator, key, "[12*]").prop_map(|(operator, key, value)| {
        format!(r#","Condition":{{"{operator}":{{"{key}":"{value}"}}}}"#)
    });
    let condition = prop_oneof![Just(String::new()), condition];
    (principal, action, condition).prop_map(move |(principal, action, condition)| {
        format!(r#"{{"Effect":"{effect}",{principal},{action}{condition}}}"#)
    })
}

fn statements() -> impl Strategy<Value = Vec<String>> {
    let any = prop_oneof![3 => statement("Allow"), 1 => statement("Deny")];
    proptest::collection::vec(any, 0..5)
}

proptest! {
    /// One more Allow lets in more or as many, one more Deny fewer or as many, in whatever order they stand.
    #[test]
    fn allow_opens_and_deny_closes(
        statements in statements(),
        allow in statement("Allow"),
        deny in statement("Deny"),
    ) {
        let verdict = |statements: &[String]| {
            service("sts:AssumeRole").verdict(&policy(&statements.join(",")))
        };
        let before = verdict(&statements);
        prop_assert!(verdict(&[statements.clone(), vec![allow]].concat()) >= before);
        prop_assert!(verdict(&[statements.clone(), vec![deny]].concat()) <= before);
        let mut turned = statements;
        turned.reverse();
        prop_assert_eq!(verdict(&turned), before);
    }

    /// What stands in the way fits the verdict, and names what is at fault.
    #[test]
    fn the_obstacle_is_the_verdicts_reason(statements in statements()) {
        let policy = policy(&statements.join(","));
        let request = service("sts:AssumeRole");
        let verdict = request.verdict(&policy);
        match request.obstacle(&policy) {
            Obstacle::Nothing => prop_assert_eq!(verdict, Truth::Yes),
            Obstacle::Undecided(why) => {
                prop_assert_eq!(verdict, Truth::Unknown);
                prop_assert!(!why.is_empty());
            }
            Obstacle::Conditions(_, failing) => {
                prop_assert_eq!(verdict, Truth::No);
                prop_assert!(!failing.is_empty());
            }
            Obstacle::Action(named) => {
                prop_assert_eq!(verdict, Truth::No);
                prop_assert!(!named.is_empty());
            }
            Obstacle::Denied(_) | Obstacle::Principal => prop_assert_eq!(verdict, Truth::No),
        }
    }
}
