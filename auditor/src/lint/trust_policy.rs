//! A role's trust policy: what `AssumeRolePolicyDocument` holds.

use std::fmt;

use super::{condition::Condition, json::Json};

/// IAM's own limit is 4096 characters (quota "Role trust policy length").
const SIZE_LIMIT: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    pub statements: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// From 1.
    pub number: usize,
    pub sid: Option<String>,
    pub effect: Effect,
    pub principal: Principal,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// `"*"`
    Anyone,
    Listed(Vec<(PrincipalKind, String)>),
    /// `NotPrincipal`
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    Aws,
    Service,
    Federated,
    CanonicalUser,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Listed(Vec<String>),
    /// `NotAction`
    Not,
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.number)?;
        match &self.sid {
            Some(sid) if !sid.is_empty() => write!(f, " ({})", clip(sid)),
            _ => Ok(()),
        }
    }
}

impl Statement {
    /// Of one kind, those that are listed.
    pub fn principals(&self, kind: PrincipalKind) -> impl Iterator<Item = &str> {
        let listed = match &self.principal {
            Principal::Listed(listed) => listed.as_slice(),
            Principal::Anyone | Principal::Not => &[],
        };
        listed
            .iter()
            .filter(move |(of, _)| *of == kind)
            .map(|(_, name)| name.as_str())
    }

    pub fn actions(&self) -> &[String] {
        match &self.action {
            Action::Listed(actions) => actions,
            Action::Not => &[],
        }
    }
}

impl TrustPolicy {
    pub fn allowing(&self) -> impl Iterator<Item = &Statement> {
        self.statements
            .iter()
            .filter(|statement| statement.effect == Effect::Allow)
    }

    pub fn denying(&self) -> impl Iterator<Item = &Statement> {
        self.statements
            .iter()
            .filter(|statement| statement.effect == Effect::Deny)
    }

    /// The document itself, or text: percent-encoded as the IAM API has it, or plain.
    ///
    /// # Errors
    /// What is wrong with it: IAM would not take it.
    pub fn read(document: &Json) -> Result<Self, String> {
        if size(document) > SIZE_LIMIT {
            return Err(format!("is longer than {SIZE_LIMIT} bytes"));
        }
        let Some(text) = document.text() else {
            return parse(document);
        };
        let text = match text.trim_start().starts_with('{') {
            true => text.to_owned(),
            false => decode(text).ok_or("is text, but neither JSON nor percent-encoded JSON")?,
        };
        let document: Json =
            serde_json::from_str(&text).map_err(|error| format!("is no JSON: {error}"))?;
        parse(&document)
    }
}

/// About that of its text, and no less than what it takes to look at it.
fn size(json: &Json) -> usize {
    1 + match json {
        Json::Null => 0,
        Json::Plain(text) | Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + size(value))
            .sum(),
    }
}

/// RFC 3986; a plus sign is a plus sign.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn parse(document: &Json) -> Result<TrustPolicy, String> {
    let members = object(document, "the policy")?;
    for (name, _) in members {
        if !["Version", "Id", "Statement"].contains(&name.as_str()) {
            return Err(format!("has an element {name:?}, which IAM does not know"));
        }
    }
    let statements = match document.get("Statement") {
        None => return Err("has no Statement".to_owned()),
        Some(Json::Array(statements)) => statements.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let statements = statements.iter().enumerate().map(|(index, json)| {
        statement(index + 1, json).map_err(|error| format!("statement {}: {error}", index + 1))
    });
    Ok(TrustPolicy {
        statements: statements.collect::<Result<_, _>>()?,
    })
}

fn statement(number: usize, json: &Json) -> Result<Statement, String> {
    const ELEMENTS: [&str; 7] = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Condition",
    ];
    for (name, _) in object(json, "it")? {
        match name.as_str() {
            "Resource" | "NotResource" => {
                return Err(format!(
                    "has {name}, which a trust policy must not: the role itself is the resource"
                ));
            }
            name if !ELEMENTS.contains(&name) => {
                return Err(format!("has an element {name:?}, which IAM does not know"));
            }
            _ => {}
        }
    }
    let effect = match json.get("Effect").and_then(Json::text) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err("Effect is neither \"Allow\" nor \"Deny\"".to_owned()),
    };
    let principal = match (json.get("Principal"), json.get("NotPrincipal")) {
        (Some(json), None) => principal(json)?,
        (None, Some(_)) => Principal::Not,
        _ => return Err("needs one of Principal and NotPrincipal".to_owned()),
    };
    let action = match (json.get("Action"), json.get("NotAction")) {
        (Some(json), None) => Action::Listed(texts(json, "Action")?),
        (None, Some(_)) => Action::Not,
        _ => return Err("needs one of Action and NotAction".to_owned()),
    };
    let mut conditions = Vec::new();
    if let Some(json) = json.get("Condition") {
        for (operator, keys) in object(json, "Condition")? {
            for (key, values) in object(keys, operator)? {
                let values = texts(values, key)?;
                conditions.push(Condition::new(operator, key, values));
            }
        }
    }
    Ok(Statement {
        number,
        sid: json.get("Sid").and_then(Json::text).map(str::to_owned),
        effect,
        principal,
        action,
        conditions,
    })
}

fn principal(json: &Json) -> Result<Principal, String> {
    if let Some(text) = json.text() {
        return match text {
            "*" => Ok(Principal::Anyone),
            other => Err(format!(
                "Principal is the text {:?}; only \"*\" may be, a name needs its kind: {{\"AWS\": …}}, {{\"Service\": …}} or {{\"Federated\": …}}",
                clip(other)
            )),
        };
    }
    let mut listed = Vec::new();
    for (kind, names) in object(json, "Principal")? {
        let kind = match kind.as_str() {
            "AWS" => PrincipalKind::Aws,
            "Service" => PrincipalKind::Service,
            "Federated" => PrincipalKind::Federated,
            "CanonicalUser" => PrincipalKind::CanonicalUser,
            other => {
                return Err(format!(
                    "Principal has {:?}: expected AWS, Service or Federated",
                    clip(other)
                ));
            }
        };
        let names = texts(names, "Principal")?;
        listed.extend(names.into_iter().map(|name| (kind, name)));
    }
    Ok(Principal::Listed(listed))
}

fn object<'a>(json: &'a Json, what: &str) -> Result<&'a [(String, Json)], String> {
    if let Some(name) = json.twice() {
        return Err(format!(
            "{} has {:?} twice; of two only one would count, put both into one",
            clip(what),
            clip(name)
        ));
    }
    match json {
        Json::Object(members) => Ok(members),
        _ => Err(format!("{} is not an object", clip(what))),
    }
}

/// A text, or a list of them; numbers and booleans stand for their text.
fn texts(json: &Json, what: &str) -> Result<Vec<String>, String> {
    let text = |json: &Json| match json {
        Json::String(text) | Json::Plain(text) => Ok(text.clone()),
        _ => Err(format!("{} is neither text nor a list of it", clip(what))),
    };
    match json {
        Json::Array(items) => items.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// Enough to know it by.
pub fn clip(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
