use super::*;

const POLICY: &str =
    r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;

fn role(name: &str) -> String {
    format!(
        r#"{{"Arn":"arn:aws:iam::111122223333:role/{name}","RoleId":"AROA{name}","AssumeRolePolicyDocument":{POLICY}}}"#
    )
}

fn arns(text: &str) -> Result<Vec<String>, String> {
    let roles = parse(text.as_bytes(), "roles.json")?;
    Ok(roles.into_iter().map(|role| role.arn).collect())
}

#[test]
fn every_shape_that_the_cli_prints_is_taken() {
    let (a, b) = (role("a"), role("b"));
    for text in [
        format!(r#"{{"Role":{a}}} {{"Role":{b}}}"#),
        format!(r#"[{{"Role":{a}}},{b}]"#),
        format!(r#"{{"Roles":[{a},{b}],"IsTruncated":false}}"#),
        format!(r#"{{"UserDetailList":[],"RoleDetailList":[{a},{b}]}}"#),
        format!("{a}\n{b}\n"),
    ] {
        let arns = arns(&text).unwrap();
        assert_eq!(
            arns,
            [
                "arn:aws:iam::111122223333:role/a",
                "arn:aws:iam::111122223333:role/b"
            ],
            "{text}"
        );
    }
    let role = &parse(a.as_bytes(), "a.json").unwrap()[0];
    assert_eq!(role.id.as_deref(), Some("AROAa"));
    assert_eq!(role.file, "a.json");
    assert_eq!(role.policy.as_ref().unwrap().statements.len(), 1);
}

#[test]
fn what_is_no_role_is_refused() {
    for (text, word) in [
        ("", "empty"),
        ("{", "no JSON"),
        ("[1]", "no role"),
        (r#"{"Statement":[]}"#, "without its role"),
        ("{}", "without Arn"),
        (
            r#"{"Arn":"arn:aws:iam::111122223333:role/a"}"#,
            "AssumeRolePolicyDocument",
        ),
    ] {
        let error = arns(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
    assert!(arns(&"[".repeat(1_000_000)).is_err());
}

#[test]
fn a_policy_that_makes_no_sense_is_told_of_the_role() {
    let text =
        r#"{"Role":{"Arn":"arn:aws:iam::111122223333:role/a","AssumeRolePolicyDocument":"%7B"}}"#;
    let roles = parse(text.as_bytes(), "a.json").unwrap();
    assert!(roles[0].policy.is_err());
}
