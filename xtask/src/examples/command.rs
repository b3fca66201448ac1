//! The commands of a shell script, one by one.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Its commands, each with all of its lines; comments between them are left out. Variables that a line sets, and does nothing else, are
/// set for each command after it.
///
/// # Errors
/// When it is no script of bash's, or there is no bash.
pub fn split(script: &str) -> Result<Vec<String>> {
    let (mut commands, mut command, mut set) = (Vec::new(), String::new(), String::new());
    for line in script.lines() {
        let is_between = line.trim().is_empty() || line.trim_start().starts_with('#');
        if command.is_empty() && is_between {
            continue;
        }
        command.push_str(line);
        command.push('\n');
        if !is_whole(&command)? {
            continue;
        }
        let whole = std::mem::take(&mut command);
        let sets_by_command = whole
            .split_once("=$(")
            .is_some_and(|(name, _)| is_name(name));
        match words(&whole).next() {
            Some("export" | "set") | None => set.push_str(&whole),
            Some(_) if sets_by_command => set.push_str(&whole),
            Some(_) => commands.push(format!("{set}{whole}")),
        }
    }
    ensure!(command.is_empty(), "it is never at its end: {command}");
    Ok(commands)
}

/// Whether bash waits for no more: no quote, pipe, loop or here-document is open.
fn is_whole(command: &str) -> Result<bool> {
    if command.trim_end().ends_with('\\') {
        return Ok(false);
    }
    let output = Command::new("bash")
        .args(["-n", "-c", command])
        .stdin(Stdio::null())
        .output()
        .context("cannot start `bash`")?;
    // Of a here-document without its end it only warns.
    Ok(output.status.success() && output.stderr.is_empty())
}

/// Its words from the program on: what is set before it, and `sudo`, are left out.
pub fn words(command: &str) -> impl Iterator<Item = &str> {
    let is_set = |word: &str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    command
        .split_whitespace()
        .skip_while(move |word| is_set(word) || *word == "sudo")
}

fn is_name(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_goes_on_for_as_long_as_bash_waits() {
        let script = "# Why.\nNS=a\njq -c 'select(\n  .x)' f |\n  sort\n\nsudo A=b cargo xtask \\\n  test # all\nfor i in 1 2; do\n  echo $i\ndone\ncat > f <<'X'\n# text\nX\n";
        let commands = split(script).unwrap();
        assert_eq!(
            commands,
            [
                "NS=a\njq -c 'select(\n  .x)' f |\n  sort\n",
                "NS=a\nsudo A=b cargo xtask \\\n  test # all\n",
                "NS=a\nfor i in 1 2; do\n  echo $i\ndone\n",
                "NS=a\ncat > f <<'X'\n# text\nX\n",
            ]
        );
        let programs: Vec<_> = commands
            .iter()
            .filter_map(|command| words(command).next())
            .collect();
        assert_eq!(programs, ["jq", "cargo", "for", "cat"]);
        assert!(split("jq 'open").is_err());
    }
}
