//! As much of PromQL as it takes to know which metrics and labels a query names. Whether it is PromQL at all, promtool says
//! (`cargo xtask manifests check`).

/// A metric that a query names, and its matchers: label, operator, value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<(String, String, String)>,
}

impl Selector {
    /// Whether a series with these labels is selected. Patterns are plain words between bars, or match anything.
    pub fn takes(&self, label: impl Fn(&str) -> String) -> bool {
        self.matchers.iter().all(|(name, operator, value)| {
            let found = label(name);
            let among = value.split('|').any(|one| one == found) || value == ".*";
            match operator.as_str() {
                "=" => *value == found,
                "!=" => *value != found,
                "=~" => among,
                "!~" => !among,
                other => panic!("no operator of PromQL: {other}"),
            }
        })
    }
}

/// What stands between two quotes is one token, without them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

/// The metrics that it names by words of these beginnings.
pub fn selectors(query: &str, beginnings: &[&str]) -> Vec<Selector> {
    let tokens = tokens(query);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if let Token::Word(metric) = token
            && beginnings.iter().any(|start| metric.starts_with(start))
        {
            found.push(Selector {
                metric: metric.clone(),
                matchers: matchers(&tokens[at + 1..]),
            });
        }
    }
    found
}

/// The labels in `by (…)`, `on (…)` and their like.
pub fn grouped_by(query: &str) -> Vec<String> {
    const CLAUSES: [&str; 6] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    ];
    let tokens = tokens(query);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_clause = matches!(token, Token::Word(word) if CLAUSES.contains(&word.as_str()));
        if !is_clause || tokens.get(at + 1) != Some(&Token::Sign("(".into())) {
            continue;
        }
        for token in &tokens[at + 2..] {
            match token {
                Token::Word(label) => found.push(label.clone()),
                Token::Sign(sign) if sign == "," => {}
                _ => break,
            }
        }
    }
    found
}

fn matchers(tokens: &[Token]) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    if tokens.first() != Some(&Token::Sign("{".into())) {
        return found;
    }
    for three in tokens[1..].chunks(4) {
        match three {
            [
                Token::Word(label),
                Token::Sign(operator),
                Token::Text(value),
                ..,
            ] => {
                found.push((label.clone(), operator.clone(), value.clone()));
            }
            _ => break,
        }
        if three.get(3) != Some(&Token::Sign(",".into())) {
            break;
        }
    }
    found
}

fn tokens(query: &str) -> Vec<Token> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '$');
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let length = if c == '"' {
            let text = rest[1..].split('"').next().unwrap_or_default();
            tokens.push(Token::Text(text.to_owned()));
            (text.len() + 2).min(rest.len())
        } else if is_word(c) {
            let word: String = rest.chars().take_while(|&c| is_word(c)).collect();
            let length = word.len();
            tokens.push(Token::Word(word));
            length
        } else if "=!~<>".contains(c) {
            let sign: String = rest.chars().take_while(|c| "=!~<>".contains(*c)).collect();
            let length = sign.len();
            tokens.push(Token::Sign(sign));
            length
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Sign(c.to_string()));
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

#[test]
fn a_query_is_taken_apart() {
    let query =
        r#"sum by (node, hook) (rate(a_b_total{x=~"p|q", y!="r"}[5m])) and on (job) a_c == 0"#;
    let matcher = |label: &str, sign: &str, value: &str| {
        (label.to_owned(), sign.to_owned(), value.to_owned())
    };
    let found = selectors(query, &["a_"]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].metric, "a_b_total");
    assert_eq!(
        found[0].matchers,
        [matcher("x", "=~", "p|q"), matcher("y", "!=", "r")]
    );
    assert_eq!(
        (found[1].metric.as_str(), found[1].matchers.len()),
        ("a_c", 0)
    );
    assert_eq!(grouped_by(query), ["node", "hook", "job"]);
    let of = |x: &str, y: &str| {
        let (x, y) = (x.to_owned(), y.to_owned());
        found[0].takes(move |label| if label == "x" { x.clone() } else { y.clone() })
    };
    assert!(of("p", "") && of("q", "s"));
    assert!(!of("pq", "") && !of("p", "r"));
}
