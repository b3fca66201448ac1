use super::*;

/// A tree with a README of this text, and some more.
fn tree(readme: &str) -> Tree {
    let documents = [
        ("README.md", readme),
        (
            "docs/a.md",
            "# One `thing`: and more\n\n## Twice\n\n## Twice\n",
        ),
    ];
    let others = ["docs", "docs/a.svg", "docs/sub", "docs/sub/b.md"];
    Tree {
        documents: documents
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        paths: documents
            .iter()
            .map(|(name, _)| *name)
            .chain(others)
            .map(str::to_owned)
            .collect(),
    }
}

fn faults(readme: &str) -> Vec<String> {
    tree(readme).check().0
}

#[test]
fn what_is_there_is_no_fault() {
    let readme = "# Front\n[a](docs/a.md) [b](./docs/a.md#one-thing-and-more) [c](#front) [d](docs/a.md#twice-1)\n\
        ![p](docs/a.svg) [e](docs/) [f](https://example.com/x?y=1#z) <https://example.com> [g][ref]\n\n\
        `docs/sub/b.md` and `docs/`, not `docs/*.md`, `docs/NAME.md`, `other/c.md` nor `/docs/x`; [alone] is text.\n\n\
        ```sh\ncat docs/a.md --file=docs/sub/b.md > docs/out\ncat docs/out\n```\n\n```text\ndocs/none\n```\n\n[ref]: docs/a.md\n";
    let (faults, looked) = tree(readme).check();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(looked, Looked { links: 9, paths: 4 });
}

#[test]
fn each_planted_fault_is_told_with_its_line() {
    for (readme, expected) in [
        (
            "\n\n[x](docs/none.md)",
            "README.md:3: there is no docs/none.md",
        ),
        ("![x](a.svg)", "README.md:1: there is no a.svg"),
        (
            "[x](docs/a.md#nope)",
            "README.md:1: docs/a.md has no heading #nope",
        ),
        ("[x](#nope)", "README.md:1: README.md has no heading #nope"),
        (
            "[x](docs/a.md#twice-2)",
            "README.md:1: docs/a.md has no heading #twice-2",
        ),
        (
            "[x](docs/a.svg#y)",
            "README.md:1: docs/a.svg is no Markdown: #y cannot be checked",
        ),
        (
            "[x](../outside)",
            "README.md:1: ../outside leads out of the repository",
        ),
        (
            "[x](http://example.com)",
            "README.md:1: http://example.com is no https address",
        ),
        (
            "[x](https://example)",
            "README.md:1: https://example is no https address",
        ),
        (
            "[x](mailto:a@b.c)",
            "README.md:1: mailto:a@b.c is no https address",
        ),
        ("[x][none]", "README.md:1: nothing defines [none]"),
        (
            "in `docs/none.rs`",
            "README.md:1: names docs/none.rs, and there is none",
        ),
        (
            "```sh\ncat 'docs/none'\n```",
            "README.md:2: names docs/none, and there is none",
        ),
        (
            "<a href=\"docs/a.md\">x</a>",
            "README.md:1: an HTML link, which is not checked: write it as Markdown",
        ),
        (
            "| a |\n|---|\n| [x](b.md) |",
            "README.md:3: there is no b.md",
        ),
    ] {
        assert_eq!(faults(readme), [expected], "{readme}");
    }
}

#[test]
fn a_path_may_be_named_from_where_the_document_is() {
    let mut tree = tree("");
    let name = "docs/a.md".to_owned();
    tree.documents.insert(
        name,
        "[up](../README.md) `sub/b.md` `docs/sub/b.md` [b](sub/b.md)".to_owned(),
    );
    assert_eq!(tree.check().0, [""; 0]);
}

#[test]
fn slugs_are_githubs() {
    for (heading, expected) in [
        ("Two commands", "two-commands"),
        ("Limits, honestly", "limits-honestly"),
        ("`auditor status`", "auditor-status"),
        ("What null means", "what-null-means"),
        ("IPv6: a_b - c", "ipv6-a_b---c"),
    ] {
        assert_eq!(slug(heading), expected);
    }
}
