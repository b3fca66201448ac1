//! Masks what looks like a secret in argv. In doubt it masks; paths and addresses stay, for a responder needs them.

/// `--args`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgsMode {
    None,
    Redacted,
    Full,
}

impl ArgsMode {
    /// What goes out; the judgement needs them as they are, to tell a probe's command.
    pub fn apply(self, args: Vec<String>) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Redacted => redact(&args),
            Self::Full => args,
        }
    }
}

mod rules;

use rules::*;

/// Stands for a secret.
const MASK: &str = "***";

fn redact(args: &[String]) -> Vec<String> {
    let mut redactor = Redactor::default();
    let mut shell = Shell::default();
    args.iter()
        .map(|arg| {
            let is_script = shell.next_is_script(arg);
            let masked = redactor.argument(arg, is_script);
            // Also one without a word in it: the first argument is whatever the caller of execve(2) made it.
            redactor.past_program = true;
            masked
        })
        .collect()
}

/// Finds the script in `sh -c SCRIPT`: there a value ends with its word, in any other argument with the argument.
#[derive(Default)]
struct Shell {
    seen: bool,
    script_follows: bool,
}

impl Shell {
    fn next_is_script(&mut self, arg: &str) -> bool {
        let is_script = self.script_follows;
        let name = arg.rsplit('/').next().unwrap_or(arg);
        self.seen |= name.ends_with("sh") || name == "su";
        self.script_follows = self.seen
            && arg.strip_prefix('-').is_some_and(|letters| {
                letters.ends_with('c') && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
            });
        is_script
    }
}

/// What an earlier word says of the next one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    Secret,
    /// A secret where it has the form `user:password`.
    UserPassword,
}

#[derive(Default)]
struct Redactor {
    pending: Pending,
    /// Short options of the programs seen so far.
    password_options: Vec<&'static str>,
    past_program: bool,
}

impl Redactor {
    fn argument(&mut self, arg: &str, is_script: bool) -> String {
        if let Some(masked) = self.masked(arg) {
            return masked;
        }
        let mut out = String::with_capacity(arg.len());
        if is_script {
            self.words(arg, &mut out);
        } else if let Some(start) = telling_value(arg) {
            let (head, value) = arg.split_at(start);
            self.words(head, &mut out);
            self.value(value, &mut out);
        } else if self.past_program
            && let Some(masked) = self.attached(arg)
        {
            return masked;
        } else {
            self.words(arg, &mut out);
        }
        out
    }

    fn words(&mut self, text: &str, out: &mut String) {
        for piece in split_words(text) {
            if piece.starts_with(is_space) {
                out.push_str(piece);
            } else {
                self.word(piece, out);
            }
        }
    }

    /// Recurses once at most: what lies between delimiters holds none.
    fn word(&mut self, word: &str, out: &mut String) {
        if let Some(masked) = self.masked(word) {
            out.push_str(&masked);
            return;
        }
        if let Some(start) = telling_value(word) {
            let (head, value) = word.split_at(start);
            if head.contains(is_delimiter) {
                self.pieces(head, out);
            } else {
                out.push_str(&mask_token(head));
            }
            self.value(value, out);
            return;
        }
        let delimited = word.contains(is_delimiter);
        let token = if delimited && word.contains(is_space) {
            self.past_program.then(|| self.attached(word)).flatten()
        } else {
            Some(self.token(word)).filter(|token| !delimited || token != word)
        };
        match token {
            Some(token) => out.push_str(&token),
            None => self.pieces(word, out),
        }
    }

    /// What lies between quotes and parentheses.
    fn pieces(&mut self, word: &str, out: &mut String) {
        for piece in word.split_inclusive(is_delimiter) {
            let text = piece.strip_suffix(is_delimiter).unwrap_or(piece);
            // A quoted secret is the whole piece.
            let masked = (!text.starts_with(is_space)).then(|| self.masked(text));
            match masked.flatten() {
                Some(masked) => out.push_str(&masked),
                None => self.words(text, out),
            }
            out.push_str(&piece[text.len()..]);
        }
    }

    /// What stands in for a word that is a secret because of the one before it.
    fn masked(&mut self, word: &str) -> Option<String> {
        // Punctuation, as in `"password" : "x"`, stands between the two.
        if self.pending == Pending::Nothing
            || word
                .chars()
                .all(|c| c.is_whitespace() || ",:=[]{}\\".contains(c))
        {
            return None;
        }
        let bare = word.trim_matches(is_delimiter);
        match std::mem::take(&mut self.pending) {
            Pending::Secret if !is_option(bare) && !is_secret_path(bare) && bare != "$" => {
                // `Authorization:` `Bearer` `x`
                if is_scheme(bare) {
                    self.pending = Pending::Secret;
                }
                Some(MASK.to_owned())
            }
            Pending::UserPassword => mask_user_password(word),
            _ => None,
        }
    }

    /// Writes the value of a telling name.
    fn value(&mut self, value: &str, out: &mut String) {
        let text = value.trim_start();
        out.push_str(&value[..value.len() - text.len()]);
        self.pending = Pending::Secret;
        if !text.is_empty() {
            out.push_str(MASK);
            out.extend(text.chars().next_back().filter(|&c| c == '"' || c == '\''));
            if !text.split_whitespace().next_back().is_some_and(is_scheme) {
                self.pending = Pending::Nothing;
            }
        }
    }

    /// A word that holds no telling assignment.
    fn token(&mut self, token: &str) -> String {
        let program = token.rsplit(['/', ';', '|', '&']).next().unwrap_or(token);
        self.password_options.extend(
            PASSWORD_OPTIONS
                .iter()
                .filter(|(prefix, _)| program.starts_with(prefix))
                .map(|(_, option)| option),
        );
        if !std::mem::replace(&mut self.past_program, true) {
            return mask_token(token);
        }
        if let Some(masked) = self.attached(token) {
            return masked;
        }
        if self.password_options.contains(&token) || announces_secret(token) {
            self.pending = Pending::Secret;
        } else if USER_OPTIONS.contains(&token) {
            self.pending = Pending::UserPassword;
        }
        mask_token(token)
    }

    /// A short option with its password, `-px`, or one with `user:password`.
    fn attached(&self, arg: &str) -> Option<String> {
        let of_program = self
            .password_options
            .iter()
            .find(|option| arg.len() > option.len() && arg.starts_with(**option));
        if let Some(option) = of_program {
            return Some(format!("{option}{MASK}"));
        }
        if is_attached_password(arg) {
            return Some(format!("-p{MASK}"));
        }
        ["-u", "-U", "--user=", "--proxy-user="]
            .iter()
            .filter_map(|option| arg.strip_prefix(option))
            // Not `-url=http:…`
            .filter_map(|value| value.split(':').next())
            .any(|user| !user.contains('='))
            .then(|| mask_user_password(arg))
            .flatten()
    }
}

/// What a shell splits at; other blanks of Unicode may be part of a secret.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace()
}

fn is_delimiter(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '(' | ')')
}

/// Words as a shell sees them, and the whitespace between them; an open quote or `$(` runs to the end.
fn split_words(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut in_space) = (0, None);
    let (mut quote, mut depth, mut escaped, mut previous) = (None, 0_usize, false, ' ');
    for (at, c) in text.char_indices() {
        let space = is_space(c) && quote.is_none() && depth == 0 && (!escaped || c == '\n');
        if in_space.is_some_and(|was| was != space) {
            pieces.push(&text[start..at]);
            start = at;
        }
        in_space = Some(space);
        if std::mem::take(&mut escaped) {
            previous = ' ';
            continue;
        }
        match c {
            '\\' if quote != Some('\'') => escaped = true,
            '"' | '\'' | '`' if quote == Some(c) => quote = None,
            '"' | '\'' | '`' if quote.is_none() => quote = Some(c),
            '(' if depth > 0 || previous == '$' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        previous = c;
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests;
