//! The conditions of a statement, as IAM evaluates them: operators and keys must all hold, of several values one must.
//!
//! In three values: what a request will hold is not always known before it is made.

/// Ordered so that "and" is the lesser, and "or" the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    No,
    /// It depends on what the files do not tell.
    Unknown,
    Yes,
}

impl Truth {
    pub fn of(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    #[must_use]
    pub fn negated_if(self, negate: bool) -> Self {
        match (self, negate) {
            (Self::Yes, true) => Self::No,
            (Self::No, true) => Self::Yes,
            (same, _) => same,
        }
    }

    pub fn all(values: impl IntoIterator<Item = Self>) -> Self {
        values.into_iter().fold(Self::Yes, Self::and)
    }

    pub fn any(values: impl IntoIterator<Item = Self>) -> Self {
        values.into_iter().fold(Self::No, Self::or)
    }
}

/// What a request will hold under a condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// One value; several where the key is a list (`aws:TagKeys`).
    Is(Vec<String>),
    /// The request has no such key.
    Absent,
    /// The request has it, with a value that is not known before.
    Present,
    Unknown,
}

impl Fact {
    pub fn is(value: impl Into<String>) -> Self {
        Self::Is(vec![value.into()])
    }

    pub fn of(value: Option<impl Into<String>>) -> Self {
        value.map_or(Self::Unknown, Self::is)
    }
}

/// What is known of a request.
pub trait Facts {
    /// `key` is in lower case: the names of condition keys are not case-sensitive.
    fn fact(&self, key: &str) -> Fact;
}

/// What a request of a caller's own to STS holds, whoever it is: it must be HTTPS (IAM User Guide, "Calling the IAM API using
/// HTTP query requests"), and every request has `aws:SecureTransport` (the same, "AWS global condition context keys"). Not those
/// that EKS makes for a pod: no document says what they hold.
pub fn of_every_caller(key: &str) -> Fact {
    match key {
        "aws:securetransport" => Fact::is("true"),
        _ => Fact::Unknown,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    ForAllValues,
    ForAnyValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    /// `ArnEquals` and `ArnLike`: they do the same.
    Arn,
    Bool,
    Null,
    /// Numbers, dates, addresses, and what IAM does not know.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    pub set: Option<SetOperator>,
    pub test: Test,
    pub negated: bool,
    pub if_exists: bool,
}

impl Operator {
    pub fn parse(written: &str) -> Self {
        let (set, rest) = match written.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(SetOperator::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(SetOperator::ForAnyValue), rest),
            _ => (None, written),
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (test, negated) = match rest {
            "StringEquals" => (Test::StringEquals, false),
            "StringNotEquals" => (Test::StringEquals, true),
            "StringEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, true),
            "StringLike" => (Test::StringLike, false),
            "StringNotLike" => (Test::StringLike, true),
            "ArnEquals" | "ArnLike" => (Test::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
            "Bool" => (Test::Bool, false),
            "Null" if !if_exists && set.is_none() => (Test::Null, false),
            _ => (Test::Other, false),
        };
        Self {
            set,
            test,
            negated,
            if_exists,
        }
    }
}

/// One key under one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub operator: Operator,
    /// As it is written.
    pub written: String,
    /// As it is written.
    pub key: String,
    pub values: Vec<String>,
}

impl Condition {
    pub fn new(written: &str, key: &str, values: Vec<String>) -> Self {
        Self {
            operator: Operator::parse(written),
            written: written.to_owned(),
            key: key.to_owned(),
            values,
        }
    }

    pub fn key(&self) -> String {
        self.key.to_ascii_lowercase()
    }

    pub fn holds(&self, facts: &dyn Facts) -> Truth {
        let fact = facts.fact(&self.key());
        let operator = self.operator;
        match operator.test {
            Test::Null => return self.null(&fact),
            Test::Other => {
                // Absent and only if it exists: whatever the test is, it is not made.
                let is_skipped = operator.if_exists && fact == Fact::Absent;
                return if is_skipped {
                    Truth::Yes
                } else {
                    Truth::Unknown
                };
            }
            _ => {}
        }
        match fact {
            Fact::Unknown => Truth::Unknown,
            Fact::Absent if operator.if_exists => Truth::Yes,
            Fact::Absent => match operator.set {
                Some(SetOperator::ForAllValues) => Truth::Yes,
                Some(SetOperator::ForAnyValue) => Truth::No,
                None => Truth::of(operator.negated),
            },
            Fact::Present if self.takes_everything() => Truth::Yes.negated_if(operator.negated),
            Fact::Present => Truth::Unknown,
            Fact::Is(values) => {
                let each = values.iter().map(|value| self.passes(value));
                match (operator.set, values.len()) {
                    (Some(SetOperator::ForAllValues), _) => Truth::all(each),
                    (Some(SetOperator::ForAnyValue), _) => Truth::any(each),
                    (None, 1) => Truth::any(each),
                    // A list under an operator for one value: IAM's documents forbid it and do not say what comes of it.
                    (None, _) => Truth::Unknown,
                }
            }
        }
    }

    /// One value of the request.
    fn passes(&self, value: &str) -> Truth {
        let found = self
            .values
            .iter()
            .map(|pattern| matches(self.operator.test, pattern, value));
        Truth::any(found).negated_if(self.operator.negated)
    }

    fn takes_everything(&self) -> bool {
        let is_star = |value: &String| !value.is_empty() && value.bytes().all(|byte| byte == b'*');
        self.operator.test == Test::StringLike && self.values.iter().any(is_star)
    }

    fn null(&self, fact: &Fact) -> Truth {
        let is_absent = match fact {
            Fact::Absent => true,
            Fact::Is(_) | Fact::Present => false,
            Fact::Unknown => return Truth::Unknown,
        };
        let found = self.values.iter().map(|value| {
            boolean(value).map_or(Truth::Unknown, |value| Truth::of(value == is_absent))
        });
        Truth::any(found)
    }

    /// Demands that something is equal, and has a wildcard, which stands for itself there.
    pub fn has_literal_wildcard(&self) -> bool {
        let is_equality = matches!(
            self.operator.test,
            Test::StringEquals | Test::StringEqualsIgnoreCase
        );
        let has_wildcard = |value: &String| value.contains(['*', '?']) && !value.contains("${");
        is_equality && !self.operator.negated && self.values.iter().any(has_wildcard)
    }

    /// As if it were `StringLike`.
    pub fn with_wildcards(&self) -> Self {
        let mut like = self.clone();
        like.operator.test = Test::StringLike;
        like
    }

    /// The values that mean more than themselves.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let has_patterns = matches!(self.operator.test, Test::StringLike | Test::Arn);
        self.values
            .iter()
            .filter(move |value| has_patterns && value.contains(['*', '?']))
            .map(String::as_str)
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |value: &str| text.eq_ignore_ascii_case(value);
    is("true").then_some(true).or(is("false").then_some(false))
}

/// Longer texts are no name of Kubernetes, and no ARN.
const TEXT: usize = 4096;

fn matches(test: Test, pattern: &str, text: &str) -> Truth {
    // A policy variable, or a wildcard that is escaped like one.
    if pattern.contains("${") || text.len() > TEXT {
        return Truth::Unknown;
    }
    match test {
        Test::StringEquals => Truth::of(pattern == text),
        Test::StringEqualsIgnoreCase => Truth::of(pattern.to_lowercase() == text.to_lowercase()),
        Test::StringLike => Truth::of(glob(pattern, text)),
        Test::Arn => arn(pattern, text),
        Test::Bool => match (boolean(pattern), boolean(text)) {
            (Some(pattern), Some(text)) => Truth::of(pattern == text),
            _ => Truth::Unknown,
        },
        Test::Null | Test::Other => Truth::Unknown,
    }
}

/// The six parts of an ARN are compared each by itself: a star does not go over a colon, but in the last.
fn arn(pattern: &str, text: &str) -> Truth {
    let parts = |of: &str| of.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, text) = (parts(pattern), parts(text));
    if pattern.len() != 6 || text.len() != 6 {
        return Truth::Unknown;
    }
    let mut pairs = pattern.iter().zip(&text);
    Truth::of(pairs.all(|(pattern, text)| glob(pattern, text)))
}

/// `*` is any run of characters, `?` any one; the rest stands for itself, in its case.
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where what it took ends.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                star = Some((p, t));
            }
            Some(expected) if *expected == '?' || expected == c => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((behind, taken)) => {
                    star = Some((behind, taken + 1));
                    (p, t) = (behind, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What could stand for a pattern's wildcards, in words that nobody uses.
pub fn example_of(pattern: &str) -> String {
    let mut example = String::new();
    for c in pattern.chars() {
        match c {
            '*' => example.push_str(STRANGER),
            '?' => example.push('z'),
            c => example.push(c),
        }
    }
    example
}

/// A name that is nobody's.
pub const STRANGER: &str = "lint-somebody-else";

#[cfg(test)]
mod tests;
