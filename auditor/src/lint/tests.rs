use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::*;

/// A configuration, and what is wrong with it. Where it is from is in `source`: an issue, AWS's documents, or the facts that this
/// project keeps of what users report (`eks-identity.md`, `what-users-struggle-with.md`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    source: String,
    expect: Option<String>,
    #[serde(default)]
    undecided: usize,
    #[serde(default)]
    given: TestGiven,
    associations: Option<Vec<Value>>,
    objects: Option<Vec<Value>>,
    roles: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestGiven {
    issuer: Option<String>,
    #[serde(default)]
    other_issuers: Vec<String>,
    account: Option<String>,
}

impl Default for TestGiven {
    fn default() -> Self {
        Self {
            issuer: Some(ISSUER.to_owned()),
            other_issuers: Vec::new(),
            account: None,
        }
    }
}

const ISSUER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
const MISTAKES: &str = include_str!("testdata/mistakes.json");
const CLEAN: &str = include_str!("testdata/clean.json");

fn cases(text: &str) -> Vec<Case> {
    serde_json::from_str(text).unwrap()
}

impl Case {
    /// As the command reads its files.
    fn inputs(&self) -> Inputs {
        let associations = self.associations.as_ref().map(|associations| {
            let text = serde_json::json!({ "associations": associations }).to_string();
            crate::association::parse(text.as_bytes(), None).unwrap()
        });
        let contents = self.objects.as_ref().map(|objects| {
            let text = serde_json::json!({"kind": "List", "items": objects}).to_string();
            crate::cluster::parse(text.as_bytes()).unwrap()
        });
        let roles = Value::from(self.roles.clone()).to_string();
        Inputs {
            given: Given {
                issuer: self.given.issuer.clone(),
                other_issuers: self.given.other_issuers.clone(),
                account: self.given.account.clone(),
                cluster: None,
            },
            associations,
            contents,
            roles: parse_roles(roles.as_bytes(), "roles.json").unwrap(),
        }
    }
}

#[test]
fn each_planted_mistake_is_found_by_its_id_and_nothing_else() {
    let cases = cases(MISTAKES);
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for case in &cases {
        assert!(!case.source.is_empty(), "{}", case.name);
        let report = lint(&case.inputs());
        let found: Vec<String> = report.findings.iter().map(|f| f.id.to_string()).collect();
        ids.extend(found.clone());
        if found != [case.expect.clone().unwrap()] || report.undecided.len() != case.undecided {
            wrong.push(format!(
                "{}: expected {:?}, got {found:?}\n{}",
                case.name,
                case.expect,
                render(&report)
            ));
        }
        // What to do is always said, and a statement that is proposed is one.
        for finding in &report.findings {
            assert!(!finding.message.is_empty() && !finding.remedy.is_empty());
        }
    }
    println!("{} planted mistakes, {} ids", cases.len(), ids.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 25);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let cases = cases(CLEAN);
    for case in &cases {
        let report = lint(&case.inputs());
        let is_clean = report.findings.is_empty() && report.undecided.len() == case.undecided;
        assert!(is_clean, "{}: {}", case.name, render(&report));
    }
    println!("{} right configurations", cases.len());
    assert!(cases.len() >= 8);
}

#[test]
fn names_are_unique() {
    let cases: Vec<Case> = [MISTAKES, CLEAN].into_iter().flat_map(cases).collect();
    let names: BTreeSet<&str> = cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names.len(), cases.len());
}

/// The statement that a finding about a trust policy proposes mends it.
#[test]
fn what_is_proposed_helps() {
    let mut mended = 0;
    for case in cases(MISTAKES) {
        let mut inputs = case.inputs();
        let report = lint(&inputs);
        let Some((finding, statement)) = report
            .findings
            .iter()
            .find_map(|finding| Some((finding, finding.statement.clone()?)))
        else {
            continue;
        };
        // Those are about what is there too much; the statement takes the place of it. Conditions that the finding tells of stay in it,
        // and as much in doubt as they were.
        let told = render(&report);
        let is_told = |lack: &String| {
            let condition = lack.split_once(" has a condition ");
            condition.is_some_and(|(_, condition)| told.contains(condition))
        };
        let document = serde_json::json!({"Version": "2012-10-17", "Statement": [statement]});
        let json: json::Json = serde_json::from_str(&document.to_string()).unwrap();
        let policy = TrustPolicy::read(&json);
        for role in &mut inputs.roles {
            if Some(&role.arn) == finding.role.as_ref() {
                role.policy = policy.clone();
            }
        }
        let after = lint(&inputs);
        assert!(
            after.findings.is_empty() && after.undecided.iter().flat_map(|u| &u.lacks).all(is_told),
            "{}: {}",
            case.name,
            render(&after)
        );
        mended += 1;
    }
    println!("{mended} mended by what was proposed");
    assert!(mended >= 25);
}

/// By hand from the files of `docs/samples/lint`.
fn samples() -> Inputs {
    let read = |name: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/samples/lint/").to_owned() + name;
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let roles = ["payments-api", "shop-feed", "shop-report", "shop-web"];
    Inputs {
        given: Given {
            issuer: Some(ISSUER.to_owned()),
            ..Given::default()
        },
        associations: Some(crate::association::parse(&read("associations.json"), None).unwrap()),
        contents: Some(crate::cluster::parse(&read("cluster.json")).unwrap()),
        roles: roles
            .iter()
            .flat_map(|name| {
                let file = format!("roles/{name}.json");
                parse_roles(&read(&file), &format!("docs/samples/lint/{file}")).unwrap()
            })
            .collect(),
    }
}

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint.md"));

/// Blocks of a language that the document has.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    DOCUMENT
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_document_shows_what_the_samples_give() {
    let report = lint(&samples());
    let text = render(&report);
    assert!(blocks("text").contains(&text), "docs/lint.md lacks\n{text}");
    let shown: Value = serde_json::from_str(&blocks("json")[0]).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(shown, json["findings"][1], "{:#}", json["findings"][1]);
}

/// A program depends on these.
#[test]
fn the_members_of_the_json_are_documented() {
    let json = serde_json::to_value(lint(&samples())).unwrap();
    let mut names = BTreeSet::new();
    members(&json, &mut names);
    for name in names {
        assert!(
            DOCUMENT.contains(&format!("`{name}`")),
            "docs/lint.md lacks `{name}`"
        );
    }
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&json),
        [
            "checked",
            "errors",
            "findings",
            "schema",
            "undecided",
            "warnings"
        ]
    );
    assert_eq!(
        keys(&json["findings"][0]),
        [
            "file",
            "id",
            "message",
            "remedy",
            "role",
            "severity",
            "statement",
            "subject"
        ]
    );
    assert_eq!(json["schema"], "auditor-lint/v1");
}

fn members(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| members(item, names)),
        Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                // What IAM's own language says is not ours to document.
                if name != "statement" {
                    members(value, names);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_id_is_documented_with_its_severity() {
    let planted: BTreeSet<String> = cases(MISTAKES)
        .into_iter()
        .filter_map(|case| case.expect)
        .collect();
    let rows: Vec<Vec<&str>> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `") && !line.starts_with("| `--"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let documented: BTreeSet<String> = rows
        .iter()
        .map(|cells| cells[1].trim_matches('`').to_owned())
        .collect();
    assert_eq!(
        documented, planted,
        "every id is planted, and every planted id documented"
    );
    for case in cases(MISTAKES) {
        let report = lint(&case.inputs());
        let finding = &report.findings[0];
        let row = rows
            .iter()
            .find(|cells| cells[1].trim_matches('`') == finding.id.to_string())
            .unwrap();
        assert_eq!(
            row[2],
            crate::event::word(&finding.severity),
            "{}",
            finding.id
        );
    }
}

#[test]
fn what_the_files_do_not_tell_is_undecided() {
    let case = |name: &str| {
        let mut cases = cases(CLEAN).into_iter();
        cases.find(|case| case.name == name).unwrap().inputs()
    };
    let lacks = |inputs: &Inputs| {
        let report = lint(inputs);
        assert!(report.findings.is_empty(), "{}", render(&report));
        let lacks: Vec<String> = report.undecided.into_iter().flat_map(|u| u.lacks).collect();
        lacks.join("\n")
    };
    let mut inputs = case("pod-identity-with-all-conditions");
    inputs.roles.clear();
    assert!(lacks(&inputs).contains("--role"));
    let mut inputs = case("irsa-as-documented");
    inputs.given.issuer = None;
    assert!(lacks(&inputs).contains("--oidc-issuer"));
    let mut inputs = case("irsa-blue-green");
    inputs.given = Given::default();
    assert!(lacks(&inputs).contains("--oidc-issuer"));
    // Without the association's ARN nobody knows the cluster's.
    let mut inputs = case("pod-identity-with-all-conditions");
    for association in &mut inputs.associations.as_mut().unwrap().associations {
        association.arn = None;
    }
    let text = lacks(&inputs);
    assert!(
        text.contains("aws:SourceArn") && text.contains("aws:SourceAccount"),
        "{text}"
    );
    // `list-…` tells no role.
    for association in &mut inputs.associations.as_mut().unwrap().associations {
        association.role_arn = None;
    }
    assert!(lacks(&inputs).contains("describe-pod-identity-association"));
    // A list of one namespace says nothing of the others.
    let mut inputs = case("pod-identity-as-documented");
    let contents = inputs.contents.as_mut().unwrap();
    contents
        .service_accounts
        .retain(|account| &*account.name == "default" && &*account.namespace != "shop");
    contents.service_accounts[0].namespace = "other".into();
    assert!(lacks(&inputs).contains("kubectl get serviceaccounts -A"));
}

#[test]
fn not_principal_and_conditions_of_others_are_not_guessed() {
    let case = cases(CLEAN).remove(0);
    for (statement, word) in [
        (
            r#"{"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},"Action":"sts:*"}"#,
            "NotPrincipal",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"NotAction":"sts:GetCallerIdentity"}"#,
            "NotAction",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:*","Condition":{"StringEquals":{"aws:SourceOrgID":"o-1"}}}"#,
            "aws:SourceOrgID",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}"#,
            "may or may not mean",
        ),
    ] {
        let mut inputs = case.inputs();
        let text = format!(r#"{{"Statement":[{statement}]}}"#);
        inputs.roles[0].policy = TrustPolicy::read(&serde_json::from_str(&text).unwrap());
        let report = lint(&inputs);
        assert!(report.findings.is_empty(), "{}", render(&report));
        assert!(render(&report).contains(word), "{}", render(&report));
    }
}

/// The statement that is proposed has them still.
#[test]
fn other_conditions_are_kept_and_told() {
    let finding = |name: &str| {
        let mut cases = cases(MISTAKES).into_iter();
        let case = cases.find(|case| case.name == name).unwrap();
        lint(&case.inputs()).findings.remove(0)
    };
    let found = finding("sub-like-anybody-beside-source-vpc");
    let conditions = &found.statement.unwrap()["Condition"]["StringEquals"];
    assert_eq!(conditions["aws:SourceVpc"], "vpc-0123456789abcdef0");
    assert_eq!(
        conditions[format!("{ISSUER}:sub")],
        "system:serviceaccount:shop:web"
    );
    assert!(
        found.message.ends_with(
            "gets the role, as long as it passes StringEquals on aws:SourceVpc, where no ServiceAccount is named"
        ),
        "{}",
        found.message
    );
    // What everyone meets is no condition to tell of.
    let found = finding("no-sub-beside-secure-transport");
    assert!(
        found.message.ends_with("gets the role"),
        "{}",
        found.message
    );
    let kept = &found.statement.unwrap()["Condition"]["Bool"]["aws:SecureTransport"];
    assert_eq!(kept, "true");
}

#[test]
fn pods_of_one_kind_are_told_of_together() {
    let case = cases(MISTAKES)
        .into_iter()
        .find(|case| case.name == "pod-that-the-webhook-missed")
        .unwrap();
    let mut inputs = case.inputs();
    let contents = inputs.contents.as_mut().unwrap();
    for number in 2..6 {
        let mut pod = contents.pods[0].clone();
        pod.name = format!("web-{number}").into();
        contents.pods.push(pod);
    }
    let report = lint(&inputs);
    assert_eq!(report.findings.len(), 1);
    let message = &report.findings[0].message;
    assert!(
        message.starts_with("pod web-1, web-2, web-3 and 2 more "),
        "{message}"
    );
}

/// What is written by others stays on its line, and is cut.
#[test]
fn hostile_names_move_no_cursor() {
    let case = cases(MISTAKES)
        .into_iter()
        .find(|case| case.name == "placeholder-in-the-arn")
        .unwrap();
    let mut inputs = case.inputs();
    let account = &mut inputs.contents.as_mut().unwrap().service_accounts[0];
    account.name = "web\u{1b}[2J\nerror: role".into();
    account.role_arn = Some(format!("arn:\u{202e}{}", "x".repeat(100_000)).into());
    let report = lint(&inputs);
    let text = render(&report);
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("error: "))
            .count(),
        1
    );
    assert!(text.len() < 3000, "{}", text.len());
}

#[test]
fn a_flood_of_findings_is_counted_and_not_kept() {
    let mut findings = Findings::default();
    for number in 0..finding::KEPT + 5 {
        let subject = Subject::service_account("shop", &number.to_string());
        findings.add(&subject, None, Remark::new(Id::RoleArnNameOnly, "m", "r"));
    }
    let report = findings.report(Checked::default());
    assert_eq!(report.findings.len(), finding::KEPT);
    assert_eq!(report.errors, finding::KEPT + 5);
    assert!(render(&report).contains("… and 5 more"));
}
