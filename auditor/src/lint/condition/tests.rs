use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

struct Map(BTreeMap<String, Fact>);

impl Facts for Map {
    fn fact(&self, key: &str) -> Fact {
        self.0.get(key).cloned().unwrap_or(Fact::Unknown)
    }
}

fn facts(fact: Fact) -> Map {
    Map([("k".to_owned(), fact)].into())
}

fn holds(operator: &str, values: &[&str], fact: Fact) -> Truth {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Condition::new(operator, "K", values).holds(&facts(fact))
}

fn is(value: &str) -> Fact {
    Fact::is(value)
}

#[test]
fn one_of_several_values_is_enough_and_case_counts() {
    for (operator, values, expected) in [
        ("StringEquals", vec!["a", "b"], Truth::Yes),
        ("StringEquals", vec!["A"], Truth::No),
        ("StringEquals", vec!["*"], Truth::No),
        ("StringEquals", vec![], Truth::No),
        ("StringNotEquals", vec!["a", "b"], Truth::No),
        ("StringNotEquals", vec!["a", "c"], Truth::Yes),
        ("StringEqualsIgnoreCase", vec!["B"], Truth::Yes),
        ("StringNotEqualsIgnoreCase", vec!["B"], Truth::No),
        ("StringLike", vec!["?"], Truth::Yes),
        ("StringLike", vec!["??"], Truth::No),
        ("StringLike", vec!["B*"], Truth::No),
        ("StringNotLike", vec!["*"], Truth::No),
        ("StringLike", vec!["${aws:username}"], Truth::Unknown),
        ("StringLike", vec!["${aws:username}", "b"], Truth::Yes),
        ("stringequals", vec!["b"], Truth::Unknown),
        ("NumericEquals", vec!["1"], Truth::Unknown),
    ] {
        assert_eq!(
            holds(operator, &values, is("b")),
            expected,
            "{operator} {values:?}"
        );
    }
}

#[test]
fn a_key_that_is_not_there_fails_but_for_those_that_say_otherwise() {
    for (operator, expected) in [
        ("StringEquals", Truth::No),
        ("StringLike", Truth::No),
        ("ArnLike", Truth::No),
        ("StringNotEquals", Truth::Yes),
        ("ArnNotLike", Truth::Yes),
        ("StringEqualsIfExists", Truth::Yes),
        ("StringNotEqualsIfExists", Truth::Yes),
        ("NumericLessThanIfExists", Truth::Yes),
        ("NumericLessThan", Truth::Unknown),
        ("ForAllValues:StringEquals", Truth::Yes),
        ("ForAllValues:StringNotEquals", Truth::Yes),
        ("ForAnyValue:StringEquals", Truth::No),
        ("ForAnyValue:StringNotEquals", Truth::No),
    ] {
        assert_eq!(
            holds(operator, &["*"], Fact::Absent),
            expected,
            "{operator}"
        );
    }
    assert_eq!(holds("Null", &["true"], Fact::Absent), Truth::Yes);
    assert_eq!(holds("Null", &["false"], Fact::Absent), Truth::No);
    assert_eq!(holds("Null", &["false"], Fact::Present), Truth::Yes);
    assert_eq!(holds("Null", &["true"], is("x")), Truth::No);
    assert_eq!(holds("Null", &["true"], Fact::Unknown), Truth::Unknown);
}

#[test]
fn booleans_are_compared_as_such() {
    for (operator, values, fact, expected) in [
        ("Bool", vec!["true"], is("true"), Truth::Yes),
        ("Bool", vec!["True"], is("true"), Truth::Yes),
        ("Bool", vec!["false"], is("true"), Truth::No),
        ("Bool", vec!["false", "true"], is("true"), Truth::Yes),
        ("BoolIfExists", vec!["false"], is("true"), Truth::No),
        ("BoolIfExists", vec!["false"], Fact::Absent, Truth::Yes),
        ("Bool", vec!["false"], Fact::Absent, Truth::No),
        ("Bool", vec!["true"], Fact::Unknown, Truth::Unknown),
        ("Bool", vec!["true"], Fact::Present, Truth::Unknown),
        ("Bool", vec!["1"], is("true"), Truth::Unknown),
        ("Bool", vec!["${aws:x}"], is("true"), Truth::Unknown),
        ("ForAllValues:Bool", vec!["true"], Fact::Absent, Truth::Yes),
    ] {
        assert_eq!(
            holds(operator, &values, fact.clone()),
            expected,
            "{operator} {values:?} {fact:?}"
        );
    }
}

#[test]
fn lists_are_for_set_operators() {
    let list = || Fact::Is(vec!["a".into(), "b".into()]);
    for (operator, values, expected) in [
        ("ForAllValues:StringEquals", vec!["a", "b", "c"], Truth::Yes),
        ("ForAllValues:StringEquals", vec!["a"], Truth::No),
        ("ForAllValues:StringLike", vec!["?"], Truth::Yes),
        ("ForAllValues:StringNotEquals", vec!["c"], Truth::Yes),
        ("ForAllValues:StringNotEquals", vec!["a"], Truth::No),
        ("ForAnyValue:StringEquals", vec!["b", "c"], Truth::Yes),
        ("ForAnyValue:StringEquals", vec!["c"], Truth::No),
        ("ForAnyValue:StringNotEquals", vec!["a"], Truth::Yes),
        ("ForAnyValue:StringNotEquals", vec!["a", "b"], Truth::No),
        ("StringEquals", vec!["a"], Truth::Unknown),
    ] {
        assert_eq!(
            holds(operator, &values, list()),
            expected,
            "{operator} {values:?}"
        );
    }
}

#[test]
fn what_is_not_known_before_is_not_guessed() {
    for operator in [
        "StringEquals",
        "StringNotLike",
        "ArnEquals",
        "ForAnyValue:StringLike",
    ] {
        assert_eq!(holds(operator, &["x"], Fact::Unknown), Truth::Unknown);
        assert_eq!(holds(operator, &["x"], Fact::Present), Truth::Unknown);
    }
    assert_eq!(holds("StringLike", &["*"], Fact::Present), Truth::Yes);
    assert_eq!(holds("StringNotLike", &["**"], Fact::Present), Truth::No);
}

#[test]
fn the_parts_of_an_arn_are_compared_one_by_one() {
    let arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod";
    for (pattern, expected) in [
        (arn, Truth::Yes),
        ("arn:aws:eks:*:111122223333:cluster/*", Truth::Yes),
        ("arn:*:eks:*:*:cluster/prod", Truth::Yes),
        ("arn:aws:eks:eu-west-?:111122223333:*", Truth::Yes),
        ("arn:aws:eks:*:podidentityassociation/prod/*:x", Truth::No),
        ("arn:aws:eks:*:*:podidentityassociation/prod/*", Truth::No),
        ("arn:aws:EKS:*:*:cluster/prod", Truth::No),
        ("arn:aws:eks:*", Truth::Unknown),
        ("*", Truth::Unknown),
    ] {
        for operator in ["ArnEquals", "ArnLike"] {
            assert_eq!(holds(operator, &[pattern], is(arn)), expected, "{pattern}");
        }
    }
}

#[test]
fn the_names_of_keys_have_no_case() {
    let condition = Condition::new("StringEquals", "AWS:SourceAccount", vec!["1".into()]);
    let facts = Map([("aws:sourceaccount".to_owned(), is("1"))].into());
    assert_eq!(condition.holds(&facts), Truth::Yes);
}

#[test]
fn a_hostile_pattern_takes_no_time() {
    let pattern = "*a".repeat(4000) + "b";
    let text = "a".repeat(4096);
    let start = std::time::Instant::now();
    assert!(!glob(&pattern, &text));
    assert!(start.elapsed().as_secs() < 20);
    assert_eq!(
        holds("StringLike", &[&pattern], is(&"a".repeat(5000))),
        Truth::Unknown
    );
}

/// As IAM's documents have it, word for word, and as slow as that is.
fn slow_glob(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| slow_glob(rest, &text[taken..])),
        Some((c, rest)) => match text.split_first() {
            Some((first, behind)) => (*c == '?' || c == first) && slow_glob(rest, behind),
            None => false,
        },
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        "[ab]{0,3}".prop_map(Fact::is),
        proptest::collection::vec("[ab]{0,2}", 0..4).prop_map(Fact::Is),
        Just(Fact::Absent),
        Just(Fact::Present),
        Just(Fact::Unknown),
    ]
}

fn values() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[ab*?]{0,4}", 0..4)
}

fn base() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("Equals"), Just("Like"), Just("EqualsIgnoreCase"),]
}

proptest! {
    #[test]
    fn globs_are_as_slow_ones(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(glob(&pattern, &text), slow_glob(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn what_an_example_is_made_of_takes_it(pattern in "[a-c:*?]{0,12}") {
        prop_assert!(glob(&pattern, &example_of(&pattern)));
    }

    /// For one value, "not" is the opposite, whether the key is there or not.
    #[test]
    fn negation_is_the_opposite(base in base(), values in values(), fact in fact()) {
        let plain = Condition::new(&format!("String{base}"), "k", values.clone());
        let negated = Condition::new(&format!("StringNot{base}"), "k", values);
        let facts = facts(fact);
        prop_assert_eq!(plain.holds(&facts).negated_if(true), negated.holds(&facts));
    }

    /// For lists, one is the other's opposite wherever the key is there.
    #[test]
    fn all_and_any_are_dual(base in base(), values in values(), list in proptest::collection::vec("[ab]{0,2}", 0..4)) {
        let all = Condition::new(&format!("ForAllValues:String{base}"), "k", values.clone());
        let any = Condition::new(&format!("ForAnyValue:StringNot{base}"), "k", values);
        let facts = facts(Fact::Is(list));
        prop_assert_eq!(all.holds(&facts).negated_if(true), any.holds(&facts));
    }

    #[test]
    fn if_exists_changes_nothing_where_it_exists(base in base(), values in values(), fact in fact()) {
        let plain = Condition::new(&format!("String{base}"), "k", values.clone());
        let lax = Condition::new(&format!("String{base}IfExists"), "k", values);
        let is_absent = fact == Fact::Absent;
        let facts = facts(fact);
        if is_absent {
            prop_assert_eq!(lax.holds(&facts), Truth::Yes);
        } else {
            prop_assert_eq!(lax.holds(&facts), plain.holds(&facts));
        }
    }

    /// More values let in more, and never fewer.
    #[test]
    fn a_further_value_closes_nothing(base in base(), values in values(), more in "[ab*?]{0,4}", fact in fact()) {
        let few = Condition::new(&format!("String{base}"), "k", values.clone());
        let many = Condition::new(&format!("String{base}"), "k", [values, vec![more]].concat());
        let facts = facts(fact);
        prop_assert!(many.holds(&facts) >= few.holds(&facts));
    }

    /// What is decided without knowing the value is so whatever the value turns out to be.
    #[test]
    fn a_decision_survives_knowledge(base in base(), values in values(), value in "[ab]{0,3}") {
        for operator in [format!("String{base}"), format!("StringNot{base}")] {
            let condition = Condition::new(&operator, "k", values.clone());
            let before = condition.holds(&facts(Fact::Present));
            let after = condition.holds(&facts(Fact::is(&value)));
            prop_assert!(before == Truth::Unknown || before == after);
        }
    }

    #[test]
    fn nothing_written_makes_it_panic(operator in ".{0,40}", key in ".{0,20}", values in proptest::collection::vec(".{0,20}", 0..3), fact in fact()) {
        let condition = Condition::new(&operator, &key, values);
        let facts = Map([(key.to_ascii_lowercase(), fact)].into());
        condition.holds(&facts);
        condition.with_wildcards().holds(&facts);
    }
}
