//! Links and paths of the documents, held against what there is. Pure: the tree is given.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{
    BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd,
};

/// What the documents may name. Paths are relative to the repository's root, `/` between their parts.
#[derive(Default)]
pub struct Tree {
    /// Each Markdown file, and its text.
    pub documents: BTreeMap<String, String>,
    /// Every file and directory, the documents among them.
    pub paths: BTreeSet<String>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    pub links: usize,
    pub paths: usize,
}

impl Tree {
    /// What is wrong, each as `README.md:12: what`, and how much was looked at.
    pub fn check(&self) -> (Vec<String>, Looked) {
        let anchors: BTreeMap<&str, BTreeSet<String>> = self
            .documents
            .iter()
            .map(|(name, text)| (name.as_str(), anchors(text)))
            .collect();
        let references: Vec<_> = self
            .documents
            .iter()
            .map(|(name, text)| (name, text, references(text)))
            .collect();
        // What one command makes another one may name.
        let written: BTreeSet<&str> = references
            .iter()
            .flat_map(|(_, _, references)| references)
            .filter_map(|(_, reference)| match reference {
                Reference::Written(path) => Some(path.as_str()),
                _ => None,
            })
            .collect();
        let (mut faults, mut looked) = (Vec::new(), Looked::default());
        for (name, text, references) in &references {
            for (at, reference) in references {
                let fault = match reference {
                    Reference::Link(target) => {
                        looked.links += 1;
                        self.link(name, target, &anchors)
                    }
                    Reference::Path(path) => {
                        if !self.is_ours(path) || written.contains(path.as_str()) {
                            continue;
                        }
                        looked.paths += 1;
                        self.path(name, path)
                    }
                    Reference::Written(_) => continue,
                    Reference::Undefined(label) => Err(format!("nothing defines [{label}]")),
                    Reference::Html => {
                        Err("an HTML link, which is not checked: write it as Markdown".to_owned())
                    }
                };
                if let Err(what) = fault {
                    let line = text.get(..*at).unwrap_or_default().matches('\n').count() + 1;
                    faults.push(format!("{name}:{line}: {what}"));
                }
            }
        }
        (faults, looked)
    }

    fn link(
        &self,
        from: &str,
        target: &str,
        anchors: &BTreeMap<&str, BTreeSet<String>>,
    ) -> Result<(), String> {
        if target.contains(':') {
            return is_https(target)
                .then_some(())
                .ok_or_else(|| format!("{target} is no https address"));
        }
        let (path, anchor) = match target.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor)),
            None => (target, None),
        };
        let path = if path.is_empty() {
            from.to_owned()
        } else {
            resolve(from, path).ok_or_else(|| format!("{target} leads out of the repository"))?
        };
        if !path.is_empty() && !self.paths.contains(&path) {
            return Err(format!("there is no {path}"));
        }
        let Some(anchor) = anchor else { return Ok(()) };
        match anchors.get(path.as_str()) {
            Some(known) if known.contains(anchor) => Ok(()),
            Some(_) => Err(format!("{path} has no heading #{anchor}")),
            None => Err(format!(
                "{path} is no Markdown: #{anchor} cannot be checked"
            )),
        }
    }

    /// Whether it begins with a directory of the repository's root.
    fn is_ours(&self, path: &str) -> bool {
        path.split_once('/')
            .is_some_and(|(top, _)| self.paths.contains(top))
    }

    fn path(&self, from: &str, path: &str) -> Result<(), String> {
        let path = path.trim_end_matches('/');
        let beside = resolve(from, path).is_some_and(|path| self.paths.contains(&path));
        if beside || self.paths.contains(path) {
            Ok(())
        } else {
            Err(format!("names {path}, and there is none"))
        }
    }
}

enum Reference {
    /// The target of a link or picture.
    Link(String),
    /// What is written as code and looks like a path.
    Path(String),
    /// What a shell's `>` makes.
    Written(String),
    /// `[text][label]` without a definition.
    Undefined(String),
    Html,
}

/// Each with the byte at which it stands.
fn references(text: &str) -> Vec<(usize, Reference)> {
    let mut undefined = Vec::new();
    let mut on_broken = |link: BrokenLink<'_>| -> Option<(CowStr<'_>, CowStr<'_>)> {
        // A word in brackets alone is text.
        if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
            undefined.push((link.span.start, link.reference.to_string()));
        }
        None
    };
    let mut found = Vec::new();
    let mut is_shell = false;
    let parser =
        Parser::new_with_broken_link_callback(text, Options::ENABLE_TABLES, Some(&mut on_broken));
    for (event, span) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                found.push((span.start, Reference::Link(dest_url.to_string())));
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                is_shell = &*language == "sh";
            }
            Event::End(TagEnd::CodeBlock) => is_shell = false,
            Event::Text(code) if is_shell => {
                let words = code.split(|c: char| c.is_whitespace() || "'\"=(),;".contains(c));
                let mut before = "";
                for word in words.filter(|word| !word.is_empty()) {
                    if looks_like_path(word) {
                        let reference = match before {
                            ">" => Reference::Written(word.to_owned()),
                            _ => Reference::Path(word.to_owned()),
                        };
                        found.push((span.start, reference));
                    }
                    before = word;
                }
            }
            Event::Code(code) if looks_like_path(&code) => {
                found.push((span.start, Reference::Path(code.to_string())));
            }
            Event::Html(html) | Event::InlineHtml(html)
                if ["href=", "src="].iter().any(|name| html.contains(name)) =>
            {
                found.push((span.start, Reference::Html));
            }
            _ => {}
        }
    }
    found.extend(
        undefined
            .into_iter()
            .map(|(at, label)| (at, Reference::Undefined(label))),
    );
    found.sort_by_key(|(at, _)| *at);
    found
}

/// Parts with `/` between them; patterns, placeholders and addresses are none.
fn looks_like_path(code: &str) -> bool {
    /// The event schema's name.
    const SCHEMA: &str = "auditor/v1";
    code.contains('/')
        && code != SCHEMA
        && !code.contains("NAME")
        && !code.starts_with(['/', '-', '.'])
        && code
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
}

/// The path that `target` names in a file `from`; none above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// By its form alone: nobody is asked.
fn is_https(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.contains('.')
        && host.split('.').all(is_label)
        && rest
            .chars()
            .all(|c| c.is_ascii_graphic() && !"<>\"{}|\\^`".contains(c))
}

/// Of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let again = (1..).map(|n| format!("{slug}-{n}"));
                let free = std::iter::once(slug.clone())
                    .chain(again)
                    .find(|slug| !anchors.contains(slug));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests;
