//! Where in the text of a policy each part stands, and the text with all but one part blanked: so that an error in one part does
//! not hide those of the others.

use serde_saphyr::granit_parser::{self, Event, Parser, Span, StructureStyle};

/// Deeper ones are no policy.
const DEPTH: usize = 16;

/// A part of the text, in characters from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    range: Range,
    /// Line and column, from 1.
    pub position: (u64, u64),
    pub children: Children,
}

#[derive(Clone, Debug)]
pub(super) enum Children {
    Scalar(String),
    Sequence { is_flow: bool, items: Vec<Node> },
    Mapping { entries: Vec<(Node, Node)> },
}

/// One step down: an item of a sequence, or an entry of a mapping, by number.
pub(super) type Path = Vec<usize>;

#[derive(Debug)]
pub(super) struct Document {
    text: Vec<char>,
    pub root: Node,
}

impl Document {
    /// Null where it is no YAML, or uses more of it than a policy needs (aliases, several documents).
    pub fn parse(text: &str) -> Option<Self> {
        let mut options = granit_parser::Options::default();
        options.set_emit_comments(false);
        let mut parser = Parser::new_from_str_with_options(text, options);
        let mut next = || loop {
            match parser.next_event()?.ok()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                event => return Some(event),
            }
        };
        let first = next()?;
        let root = node(first, &mut next, 0)?;
        Some(Self {
            text: text.chars().collect(),
            root,
        })
    }

    /// Every part that is an item or an entry, the outer ones first; and where its value begins.
    pub fn parts(&self) -> Vec<(Path, (u64, u64))> {
        let mut parts = Vec::new();
        collect(&self.root, &mut Vec::new(), &mut parts);
        parts
    }

    /// The text with nothing but this part and what it is in, all at its place.
    pub fn only(&self, path: &[usize]) -> String {
        let mut text = self.text.clone();
        let mut node = &self.root;
        for step in path {
            let (kept, of) = match &node.children {
                Children::Sequence { is_flow, items } => {
                    let Some(item) = items.get(*step) else { break };
                    let starts: Vec<usize> = items
                        .iter()
                        .map(|item| match is_flow {
                            true => item.range.start,
                            false => self.marker_before(item.range.start),
                        })
                        .collect();
                    let kept = kept(&starts, *step, item.range.end);
                    node = item;
                    (kept, span(&starts, items.last()))
                }
                Children::Mapping { entries } => {
                    let Some((_, value)) = entries.get(*step) else {
                        break;
                    };
                    let starts: Vec<usize> =
                        entries.iter().map(|(key, _)| key.range.start).collect();
                    let end = value
                        .range
                        .end
                        .max(entries.get(*step).map_or(0, |(key, _)| key.range.end));
                    let kept = kept(&starts, *step, end);
                    let last = entries.last().map(|(_, value)| value);
                    node = value;
                    (kept, span(&starts, last))
                }
                Children::Scalar(_) => break,
            };
            blank(&mut text, of.start, kept.start);
            blank(&mut text, kept.end, of.end);
        }
        text.into_iter().collect()
    }

    /// The value below these keys and numbers.
    pub fn at(&self, path: &[Step<'_>]) -> Option<&Node> {
        let mut node = &self.root;
        for step in path {
            node = match (step, &node.children) {
                (Step::Item(n), Children::Sequence { items, .. }) => items.get(*n)?,
                (Step::Key(name), Children::Mapping { entries }) => {
                    let is_it = |key: &Node| matches!(&key.children, Children::Scalar(text) if text == name);
                    entries
                        .iter()
                        .find(|(key, _)| is_it(key))
                        .map(|(_, value)| value)?
                }
                _ => return None,
            };
        }
        Some(node)
    }

    /// Where the `-` stands of the item that begins at `start`.
    fn marker_before(&self, start: usize) -> usize {
        let before = self.text.get(..start).unwrap_or_default();
        before.iter().rposition(|c| *c == '-').unwrap_or(start)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// From where the part begins to where it ends: what is between it and the next one (commas, comments) goes with the others.
fn kept(starts: &[usize], at: usize, end: usize) -> Range {
    let start = starts.get(at).copied().unwrap_or_default();
    Range {
        start,
        end: end.max(start),
    }
}

fn span(starts: &[usize], last: Option<&Node>) -> Range {
    let start = starts.first().copied().unwrap_or_default();
    Range {
        start,
        end: last.map_or(start, |last| last.range.end),
    }
}

fn blank(text: &mut [char], start: usize, end: usize) {
    let end = end.min(text.len());
    for c in text.get_mut(start.min(end)..end).unwrap_or_default() {
        if *c != '\n' && *c != '\r' {
            *c = ' ';
        }
    }
}

fn collect(node: &Node, path: &mut Path, parts: &mut Vec<(Path, (u64, u64))>) {
    let children: Vec<&Node> = match &node.children {
        Children::Scalar(_) => return,
        Children::Sequence { items, .. } => items.iter().collect(),
        Children::Mapping { entries } => entries.iter().map(|(_, value)| value).collect(),
    };
    for (at, child) in children.into_iter().enumerate() {
        path.push(at);
        parts.push((path.clone(), child.position));
        collect(child, path, parts);
        path.pop();
    }
}

fn node<'t>(
    (event, span): (Event<'t>, Span),
    next: &mut impl FnMut() -> Option<(Event<'t>, Span)>,
    depth: usize,
) -> Option<Node> {
    if depth > DEPTH {
        return None;
    }
    let start = span.start.index();
    let position = (span.start.line() as u64, span.start.col() as u64 + 1);
    let (children, end) = match event {
        Event::Scalar(text, ..) => (Children::Scalar(text.into_owned()), span.end.index()),
        Event::SequenceStart(style, ..) => {
            let is_flow = style == StructureStyle::Flow;
            let mut items: Vec<Node> = Vec::new();
            let end = loop {
                match next()? {
                    (Event::SequenceEnd, span) => break span.end.index(),
                    event => items.push(node(event, next, depth + 1)?),
                }
            };
            // A block ends where its last item does, and not where the next one is seen.
            let end = match items.last() {
                Some(last) if !is_flow => last.range.end,
                _ => end,
            };
            (Children::Sequence { is_flow, items }, end)
        }
        Event::MappingStart(style, ..) => {
            let is_flow = style == StructureStyle::Flow;
            let mut entries: Vec<(Node, Node)> = Vec::new();
            let end = loop {
                match next()? {
                    (Event::MappingEnd, span) => break span.end.index(),
                    event => {
                        let key = node(event, next, depth + 1)?;
                        let value = node(next()?, next, depth + 1)?;
                        entries.push((key, value));
                    }
                }
            };
            let end = match entries.last() {
                Some((key, value)) if !is_flow => value.range.end.max(key.range.end),
                _ => end,
            };
            (Children::Mapping { entries }, end)
        }
        _ => return None,
    };
    Some(Node {
        range: Range { start, end },
        position,
        children,
    })
}
