//! `*` stands for any run of characters, `/` too; everything else for itself.

use schemars::JsonSchema;
use serde::Deserialize;

/// `*` stands for any run of characters, `/` too; everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub struct Pattern {
    /// The literal parts between the stars.
    parts: Box<[Box<str>]>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self {
            parts: text.split('*').map(Into::into).collect(),
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Pattern {
    /// Nothing but stars.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        self.parts.len() > 1 && self.parts.iter().all(|part| part.is_empty())
    }

    /// Matches every path from the root: stars alone, or behind a `/`.
    #[must_use]
    pub fn is_any_path(&self) -> bool {
        let [first, rest @ ..] = &*self.parts else {
            return false;
        };
        let is_bare = rest.iter().all(|part| part.is_empty());
        matches!(&**first, "" | "/") && !rest.is_empty() && is_bare
    }

    /// What every text that matches begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.parts.first().map_or("", |part| part)
    }

    /// May match a path from the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.prefix().starts_with('/') || (self.prefix().is_empty() && self.parts.len() > 1)
    }

    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let [first, rest @ ..] = &*self.parts else {
            return text.is_empty();
        };
        let [between @ .., last] = rest else {
            return text == &**first;
        };
        let Some(mut text) = text.strip_prefix(&**first) else {
            return false;
        };
        // The leftmost place leaves the most for the parts that follow.
        for part in between {
            match text.split_once(&**part) {
                Some((_, after)) => text = after,
                None => return false,
            }
        }
        text.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("web", "web", true),
            ("web", "web-1", false),
            ("web", "my-web", false),
            ("web*", "web-1", true),
            ("*web", "my-web", true),
            ("*web", "my-web-1", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "xabab", true),
            ("/usr/*/tool", "/usr/local/bin/tool", true),
            ("a.b", "axb", false),
        ] {
            assert_eq!(
                Pattern::from(pattern).matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn some_patterns_match_every_path() {
        for (pattern, expected) in [
            ("*", true),
            ("/*", true),
            ("/**", true),
            ("**", true),
            ("/", false),
            ("", false),
            ("/usr/*", false),
            ("*/", false),
            ("/*/cat", false),
        ] {
            assert_eq!(Pattern::from(pattern).is_any_path(), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn literal_parts_with_anything_between_match(
            parts in proptest::collection::vec("[ab]{0,3}", 1..5),
            fillers in proptest::collection::vec("[ab]{0,3}", 5),
        ) {
            let pattern = Pattern::from(parts.join("*"));
            let mut text = String::new();
            for (part, filler) in parts.iter().zip(&fillers) {
                text.push_str(part);
                text.push_str(filler);
            }
            let last = fillers[parts.len() - 1].len();
            text.truncate(text.len() - last);
            prop_assert!(pattern.matches(&text));
        }
    }
}
