//! Messages that a document quotes, held against the source that writes them. Pure.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// Shorter pieces are in any source.
const LEAST: usize = 12;

/// The lines of the document's ` ```text ` blocks of which a piece, between `…`, is in no string of `source`; and how many lines
/// were looked at.
pub fn unknown(document: &str, source: &str) -> (Vec<String>, usize) {
    let source = without_breaks(source);
    let lines = quoted(document);
    let is_unknown = |line: &&String| {
        let mut pieces = line.split('…').map(str::trim).peekable();
        let long = |piece: &&str| piece.chars().count() >= LEAST;
        let whole = pieces.clone().any(|piece| long(&piece));
        // A line of short pieces alone proves nothing.
        !whole || pieces.any(|piece| long(&piece) && !source.contains(piece))
    };
    (
        lines.iter().filter(is_unknown).cloned().collect(),
        lines.len(),
    )
}

fn quoted(document: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_quote = false;
    for event in Parser::new(document) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                is_quote = &*language == "text";
            }
            Event::End(TagEnd::CodeBlock) => is_quote = false,
            Event::Text(text) if is_quote => lines.extend(text.lines().map(str::to_owned)),
            _ => {}
        }
    }
    lines
}

/// Strings that go on over lines (`\` at the end) in one, as they are written.
fn without_breaks(source: &str) -> String {
    let mut parts = source.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_source_writes_is_told() {
        let source =
            "format!(\"the kubelet is not known ({unknown}): what it \\\n        reads shows\")";
        let document = |line: &str| format!("# T\n```text\n{line}\n```\n```sh\nnone of it\n```\n");
        for known in [
            "the kubelet is not known (…): what it reads shows",
            "…is not known (…",
        ] {
            assert_eq!(
                unknown(&document(known), source),
                (Vec::new(), 1),
                "{known}"
            );
        }
        for wrong in ["the kubelet is not there (…)", "… is … (…"] {
            let (told, _) = unknown(&document(wrong), source);
            assert_eq!(told, [wrong]);
        }
    }
}
