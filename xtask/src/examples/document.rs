//! The fenced blocks of the documents.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// A fenced block, without its fences and the indentation of the list that it may be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The document, from the workspace's root on.
    pub document: String,
    /// Of the line with the fence, from 1 on.
    pub line: usize,
    /// The last `## ` before it.
    pub section: String,
    /// What stands behind the fence; empty where nothing does.
    pub language: String,
    pub text: String,
}

impl Block {
    /// `docs/policy.md:12`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.document, self.line)
    }
}

/// Every document of the workspace, also those that are new and in no commit.
///
/// # Errors
/// When a directory cannot be read.
pub fn all(root: &Path) -> Result<Vec<PathBuf>> {
    let mut documents = Vec::new();
    collect(root, &mut documents)?;
    documents.sort();
    Ok(documents)
}

fn collect(directory: &Path, documents: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.file_type()?.is_dir();
        // What others built or fetched is no document of ours.
        let is_ours = !name.starts_with('.') && !name.starts_with("target");
        if is_directory && is_ours {
            collect(&entry.path(), documents)?;
        } else if !is_directory && name.ends_with(".md") {
            documents.push(entry.path());
        }
    }
    Ok(())
}

/// The blocks of a document.
///
/// # Errors
/// When a fence is never closed.
pub fn blocks(document: &str, text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, &str, usize)> = None;
    let mut section = "";
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let indentation = line.len() - trimmed.len();
        match &mut open {
            None => {
                section = line.strip_prefix("## ").unwrap_or(section);
                let fence = ["```", "~~~"].into_iter().find(|f| trimmed.starts_with(f));
                if let Some(fence) = fence {
                    let block = Block {
                        document: document.to_owned(),
                        line: at + 1,
                        section: section.trim().to_owned(),
                        language: trimmed[fence.len()..].trim().to_owned(),
                        text: String::new(),
                    };
                    open = Some((block, fence, indentation));
                }
            }
            Some((_, fence, _)) if trimmed.trim_end() == *fence => {
                blocks.extend(open.take().map(|(block, ..)| block));
            }
            Some((block, _, by)) => {
                block.text.push_str(&line[indentation.min(*by)..]);
                block.text.push('\n');
            }
        }
    }
    ensure!(
        open.is_none(),
        "{document}: a fence is never closed: {}",
        open.map(|(block, ..)| block.place()).unwrap_or_default()
    );
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks_in_lists_too_and_no_others() {
        let text = "## One\n```sh\na \\\n  b\n```\n1. Then:\n\n   ```yaml\n   x:\n     - 1\n   ```\n~~~\n```\n~~~\n";
        let found = blocks("a.md", text).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|b| (b.place(), b.language.as_str(), b.text.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("a.md:2".to_owned(), "sh", "a \\\n  b\n"),
                ("a.md:8".to_owned(), "yaml", "x:\n  - 1\n"),
                ("a.md:12".to_owned(), "", "```\n"),
            ]
        );
        assert!(found.iter().all(|block| block.section == "One"));
        let error = blocks("a.md", "```sh\na\n").unwrap_err().to_string();
        assert!(error.contains("a.md:1"), "{error}");
    }
}
