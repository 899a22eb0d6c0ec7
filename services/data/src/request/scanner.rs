//! Reads the query grammar character by character, and says where and why it could not.

use base::Error;
use serde_json::Value;

use crate::error::QUERY;

/// Deepest nesting of `select` and of logic trees. Deeper ones would only cost stack.
pub(crate) const MAX_DEPTH: usize = 32;

/// What was expected, at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) at: usize,
    pub(crate) expecting: &'static str,
}

/// The outcome of one piece of grammar.
pub(crate) type Scan<T> = Result<T, Failure>;

/// A position in a text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the start of `text`.
    pub(crate) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Whether nothing is left.
    pub(crate) fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    /// The next character, not taken.
    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character.
    pub(crate) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Whether `token` comes next, not taken.
    pub(crate) fn sees(&self, token: &str) -> bool {
        self.rest().starts_with(token)
    }

    /// Takes `token` if it comes next.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let found = self.sees(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes `token`, which must come next; `expecting` says so to people.
    pub(crate) fn expect(&mut self, token: &str, expecting: &'static str) -> Scan<()> {
        if self.eat(token) { Ok(()) } else { Err(self.fail(expecting)) }
    }

    /// Takes the characters for which `wanted` holds.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Takes spaces and tabs.
    pub(crate) fn skip_space(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    /// Takes everything.
    pub(crate) fn take_rest(&mut self) -> &'a str {
        let rest = self.rest();
        self.at = self.text.len();
        rest
    }

    /// A failure here.
    pub(crate) fn fail(&self, expecting: &'static str) -> Failure {
        Failure { at: self.at, expecting }
    }

    /// What `piece` reads, or nothing and back to where it began.
    pub(crate) fn attempt<T>(&mut self, piece: impl FnOnce(&mut Scanner<'a>) -> Scan<T>) -> Option<T> {
        let start = self.at;
        let outcome = piece(self).ok();
        if outcome.is_none() {
            self.at = start;
        }
        outcome
    }

    /// `"…"` with `\` before quotes and backslashes.
    pub(crate) fn quoted(&mut self) -> Scan<String> {
        self.expect("\"", "\"")?;
        let mut value = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(value),
                Some('\\') => value.push(self.next().ok_or_else(|| self.fail("any character"))?),
                Some(c) => value.push(c),
                None => return Err(self.fail("\"")),
            }
        }
    }

    /// A column, relation or alias: quoted, or words of letters, digits, `_`, `$` and spaces, joined by dashes.
    pub(crate) fn name(&mut self) -> Scan<String> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let mut name = self.word()?.trim().to_owned();
        while self.sees("-") && !self.sees("->") {
            self.eat("-");
            name.push('-');
            name.push_str(self.word()?.trim());
        }
        Ok(name)
    }

    fn word(&mut self) -> Scan<&'a str> {
        let word = self.take_while(is_word);
        if word.is_empty() { Err(self.fail("field name (* or [a..z0..9_$])")) } else { Ok(word) }
    }
}

/// A character of a name or of a cast.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '_' | ' ' | '$')
}

impl Failure {
    /// The error that names `what` could not be read, in which text, where and why.
    pub(crate) fn into_error(self, what: &str, text: &str) -> Error {
        self.into_error_of(what, text, text)
    }

    /// The same for a text that was read with something put before it.
    pub(crate) fn into_error_of(self, what: &str, shown: &str, text: &str) -> Error {
        let column = text.get(..self.at).map_or(0, |before| before.chars().count()) + 1;
        let unexpected = match text.get(self.at..).and_then(|rest| rest.chars().next()) {
            // whoever could have ended here met a character, whoever could not met a text
            Some(c) if self.expecting.ends_with("end of input") => format!("'{c}'"),
            Some(c) => format!("\"{c}\""),
            None => "end of input".to_owned(),
        };
        QUERY
            .error(format!("\"failed to parse {what} ({shown})\" (line 1, column {column})"))
            .with_details(Value::String(format!("unexpected {unexpected} expecting {}", self.expecting)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Scan<String> {
        Scanner::new(text).name()
    }

    #[test]
    fn names_are_words_with_dashes_or_quoted() {
        assert_eq!(name("id"), Ok("id".to_owned()));
        assert_eq!(name("with spaces "), Ok("with spaces".to_owned()));
        assert_eq!(name("with-dashes->>x"), Ok("with-dashes".to_owned()));
        assert_eq!(name("ünï_1$"), Ok("ünï_1$".to_owned()));
        assert_eq!(name(r#""a \" \\ . ( b""#), Ok(r#"a " \ . ( b"#.to_owned()));
        assert!(name(":").is_err());
        assert!(name("\"open").is_err());
    }

    #[test]
    fn a_failure_says_where_in_characters() {
        let failure = Failure { at: "äö".len(), expecting: "more" };

        let error = failure.into_error("filter", "äö!");

        assert_eq!(error.message, "\"failed to parse filter (äö!)\" (line 1, column 3)");
        assert_eq!(error.details, Some("unexpected \"!\" expecting more".into()));
    }
}
