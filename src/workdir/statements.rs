//! Statements and tokens of a SQL file, as PostgreSQL's own scanner reads it.

use std::ops::Range;

/// Blanks a statement out. Every other character keeps its position, so that PostgreSQL's messages still point to the
/// right line.
pub(super) fn blank(text: &mut String, statement: &[Range<usize>]) {
    let all = statement[0].start..statement[statement.len() - 1].end;
    let blank: String = text[all.clone()].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
    text.replace_range(all, &blank);
}

/// The tokens of each statement, its semicolon included; space and comments are in none.
pub(super) fn statements(text: &str) -> Vec<Vec<Range<usize>>> {
    let mut statements = vec![Vec::new()];
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = length(rest, first);
        let token = &rest[..length];
        if !(first.is_whitespace() || token.starts_with("--") || token.starts_with("/*")) {
            statements.last_mut().expect("there is always one").push(at..at + length);
        }
        if first == ';' {
            statements.push(Vec::new());
        }
        at += length;
    }
    statements.retain(|tokens| !tokens.is_empty());
    statements
}

/// How many bytes the token, comment or space at the start of `rest` takes; what is not closed goes to the end.
fn length(rest: &str, first: char) -> usize {
    let until =
        |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    match first {
        '-' if rest.starts_with("--") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => comment(rest),
        '\'' => quoted(rest, '\'', false),
        '"' => quoted(rest, '"', false),
        'e' | 'E' if rest[1..].starts_with('\'') => 1 + quoted(&rest[1..], '\'', true),
        '$' => match dollar_tag(rest) {
            Some(tag) => until(tag.len(), tag),
            None => 1,
        },
        c if in_word(c) => rest.find(|c| !(in_word(c) || c == '$')).unwrap_or(rest.len()),
        other => other.len_utf8(),
    }
}

/// `'…'` or `"…"`: a doubled quote is one inside; in `E'…'` so is `\'`.
fn quoted(rest: &str, quote: char, backslash: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// `/* … */`; comments nest.
fn comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(found) = rest[at..].find(['/', '*']) {
        at += found;
        match rest.get(at..at + 2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// `$$` or `$tag$`; `$1` is a parameter.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = 1 + rest[1..].find('$')?;
    let tag = &rest[1..end];
    (tag.chars().all(in_word) && !tag.starts_with(|c: char| c.is_ascii_digit())).then_some(&rest[..=end])
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}
