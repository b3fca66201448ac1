use proptest::prelude::*;

use super::*;

/// As `kubectl get pods,serviceaccounts -A -o json` prints it: keys sorted, `kind` after `items`.
const LIST: &str = include_str!("testdata/list.json");

fn names(contents: &Contents) -> Vec<String> {
    contents.pods.iter().map(Pod::full_name).collect()
}

#[test]
fn reads_what_kubectl_prints() {
    let contents = parse(LIST.as_bytes()).unwrap();
    assert_eq!(names(&contents), ["payments/api-1", "kube-system/static"]);
    let api = &contents.pods[0];
    assert_eq!(&*api.uid, "0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012");
    assert_eq!(&*api.service_account, "api");
    assert_eq!(api.owner.as_deref(), Some("ReplicaSet/api"));
    assert_eq!(api.labels["app"], "api");
    assert_eq!(api.created.unwrap().to_string(), "2026-11-22T11:58:34Z");
    assert_eq!(api.node_name.as_deref(), Some("n1"));

    let names: Vec<&str> = api.containers.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["migrate", "api", "debugger"]);
    let container = &api.containers[1];
    let id = "9c".repeat(32);
    assert_eq!(container.id.as_deref(), Some(&*id));
    assert_eq!(container.previous_id.as_deref(), Some(&*"8b".repeat(32)));
    assert_eq!(api.container(&id), Some(container));
    assert_eq!(
        container.env.role_arn.as_deref(),
        Some("arn:aws:iam::111122223333:role/api")
    );
    assert_eq!(
        container.commands,
        [vec!["/bin/check", "--live"], vec!["/bin/stop"]]
    );
    assert!(api.is_web_identity_file("aws-iam-token", "token"));
    assert!(!api.is_web_identity_file("kube-api-access-x", "token"));
    assert!(api.has_pod_identity());

    let access = api.volume("kube-api-access-x").unwrap();
    assert_eq!(access.token("token").unwrap().audience, None);
    let other: Vec<&str> = access.other_files.iter().map(|f| &**f).collect();
    assert_eq!(other, ["ca.crt", "namespace"]);
    assert!(!access.unnamed_files);
    assert!(api.volume("mixed").unwrap().unnamed_files);
    assert!(api.volume("scratch").is_none(), "not projected");

    let fixed = &contents.pods[1];
    assert_eq!(
        fixed.mirror_hash.as_deref(),
        Some("1db680c2883dc532f70b6887258b2aa2")
    );
    assert!(fixed.host_network && fixed.host_pid);
    assert!(fixed.has_uid("1db680c2883dc532f70b6887258b2aa2"));

    let account = &contents.service_accounts[0];
    assert_eq!(
        account.role_arn.as_deref(),
        Some("arn:aws:iam::111122223333:role/api")
    );
    assert_eq!(account.audience.as_deref(), Some("sts.example"));
}

#[test]
fn yaml_says_the_same_as_json() {
    let value: Value = serde_json::from_str(LIST).unwrap();
    let yaml = serde_saphyr::to_string(&value).unwrap();
    assert!(!yaml.trim_start().starts_with('{'));
    assert_eq!(parse(yaml.as_bytes()), parse(LIST.as_bytes()));
}

#[test]
fn takes_every_way_of_writing_objects() {
    let pod = r#"{"kind":"Pod","metadata":{"name":"a","uid":"u"}}"#;
    for (what, text, expected) in [
        ("bare", pod.to_owned(), vec!["default/a"]),
        (
            "on end",
            format!("{pod}\n{pod}"),
            vec!["default/a", "default/a"],
        ),
        (
            "PodList, kind last",
            r#"{"items":[{"metadata":{"name":"a","uid":"u"}}],"kind":"PodList"}"#.to_owned(),
            vec!["default/a"],
        ),
        (
            "ServiceAccountList",
            r#"{"kind":"ServiceAccountList","items":[{"metadata":{"name":"a"}}]}"#.to_owned(),
            vec![],
        ),
        (
            "no items",
            r#"{"kind":"List","items":null}"#.to_owned(),
            vec![],
        ),
        (
            "unknown kinds",
            r#"{"kind":"List","items":[{"kind":"Node","spec":"odd"}]}"#.to_owned(),
            vec![],
        ),
        (
            "documents",
            "---\nkind: Pod\nmetadata: {name: a, uid: u}\n---\nkind: Pod\nmetadata:\n  name: b\n  uid: v\n"
                .to_owned(),
            vec!["default/a", "default/b"],
        ),
        (
            "nulls",
            r#"{"kind":"Pod","metadata":{"name":"a","uid":"u","labels":null,"annotations":null,"creationTimestamp":null},
                "spec":{"containers":null,"volumes":[{"name":"v","projected":{"sources":null}}]},"status":null}"#
                .to_owned(),
            vec!["default/a"],
        ),
    ] {
        assert_eq!(names(&parse(text.as_bytes()).expect(what)), expected, "{what}");
    }
}

#[test]
fn megabytes_of_labels_are_not_kept() {
    let labels: Vec<String> = (0..20_000)
        .map(|n| format!(r#""label-{n}":"{}""#, "x".repeat(60)))
        .collect();
    let text = format!(
        r#"{{"kind":"Pod","metadata":{{"name":"a","uid":"u","labels":{{{}}}}}}}"#,
        labels.join(",")
    );
    let pod = parse(text.as_bytes()).unwrap().pods.remove(0);
    let kept: usize = pod.labels.iter().map(|(k, v)| k.len() + v.len()).sum();
    assert!((8 << 10..16 << 10).contains(&kept), "{kept}");
    assert_eq!(
        pod.labels["…"],
        format!("[{} more cut]", 20_000 - (pod.labels.len() - 1))
    );
}

#[test]
fn a_wrong_shape_names_its_place() {
    for (text, parts) in [
        ("", vec!["is empty"]),
        (" \n", vec!["is empty"]),
        ("# nothing\n", vec!["is empty"]),
        ("{", vec!["EOF", "line 1"]),
        ("[]", vec!["expected"]),
        ("{}", vec!["neither `items` nor `kind`"]),
        (r#"{"associations":[]}"#, vec!["neither `items` nor `kind`"]),
        (r#"{"kind":"List","items":{}}"#, vec!["items", "a list of"]),
        (
            r#"{"kind":"List","items":[{"metadata":{"name":"a"}}]}"#,
            vec!["items[0].kind"],
        ),
        (
            r#"{"items":[{"kind":"Node"},{"kind":"Pod","metadata":{"name":"a"}}],"kind":"List"}"#,
            vec!["items[1].metadata.uid", "missing"],
        ),
        (
            r#"{"items":[{"kind":"Pod","metadata":{"name":7}}],"kind":"List"}"#,
            vec!["items[0].metadata.name", "integer", "line 1"],
        ),
        (
            r#"{"items":[{"kind":"Pod","metadata":{"name":"a","uid":"u"},"spec":{"containers":[{"name":"c","env":{}}]}}]}"#,
            vec!["items[0].spec.containers[0].env", "pod `a`"],
        ),
        (
            "kind: List\nitems:\n  - kind: Pod\n    metadata: {name: [a]}\n",
            vec!["items[0].metadata.name", "line 4"],
        ),
        (
            "kind: Pod\nmetadata: {name: a, uid: u}\n---\nkind: Pod\nmetadata: {name: b}\n",
            vec!["metadata.uid"],
        ),
    ] {
        let error = parse(text.as_bytes()).expect_err(text).to_string();
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
            assert!(!error.contains("items: items["), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = parse(&bytes);
    }

    /// A real list with a few bytes changed reaches deeper than noise does.
    #[test]
    fn never_panics_on_a_damaged_list(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        as_yaml in any::<bool>(),
    ) {
        let mut bytes = if as_yaml {
            let value: Value = serde_json::from_str(LIST).unwrap();
            serde_saphyr::to_string(&value).unwrap().into_bytes()
        } else {
            LIST.as_bytes().to_vec()
        };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(64));
        let _ = parse(&bytes);
    }
}
