//! Leaves `CREATE EXTENSION` statements out of a SQL file, read as PostgreSQL's own scanner reads it.

use std::ops::Range;

/// The text with `CREATE EXTENSION` statements for the extensions in `skip` blanked out: every other character keeps
/// its position, so that PostgreSQL's messages still point to the right line.
pub(super) fn without_extensions(text: &str, skip: &[String]) -> String {
    let mut out = text.to_owned();
    if skip.is_empty() {
        return out;
    }
    // from the last to the first: a blank can be shorter in bytes than what it replaces
    for statement in statements(text).into_iter().rev() {
        if extension(text, &statement).is_some_and(|name| skip.contains(&name)) {
            let all = statement[0].start..statement[statement.len() - 1].end;
            let blank = text[all.clone()].chars().map(|c| if c == '\n' { c } else { ' ' });
            out.replace_range(all, &blank.collect::<String>());
        }
    }
    out
}

/// The name in `CREATE EXTENSION [IF NOT EXISTS] name …`, as PostgreSQL stores it.
fn extension(text: &str, statement: &[Range<usize>]) -> Option<String> {
    let mut tokens = statement.iter().map(|token| &text[token.clone()]).peekable();
    let mut keyword = |wanted: &str| tokens.next_if(|token| token.eq_ignore_ascii_case(wanted)).is_some();
    if !(keyword("create") && keyword("extension")) {
        return None;
    }
    let _ = keyword("if") && keyword("not") && keyword("exists");
    let name = tokens.next()?;
    Some(match name.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').unwrap_or(quoted).replace("\"\"", "\""),
        None => name.to_ascii_lowercase(),
    })
}

/// The tokens of each statement, its semicolon included; space and comments are in none.
fn statements(text: &str) -> Vec<Vec<Range<usize>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str) -> String {
        without_extensions(text, &["pg_net".to_owned()])
    }

    #[test]
    fn the_statement_is_blanked_and_what_surrounds_it_keeps_its_place() {
        let text = "create table a(); CREATE EXTENSION pg_net; create table b();";
        let blank = " ".repeat("CREATE EXTENSION pg_net;".len());

        assert_eq!(without(text), format!("create table a(); {blank} create table b();"));
        assert_eq!(
            without("é;create extension\n pg_net\n-- é;\n;x"),
            "é;                \n       \n     \n x"
        );
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        for statement in [
            "create extension pg_net",
            "Create /* a /* nested */ one; */ Extension -- or;\n If Not Exists PG_NET with schema extensions;",
            "create extension if not exists \"pg_net\" cascade;",
            "create extension\"pg_net\";",
        ] {
            assert_eq!(without(statement).trim(), "", "{statement}");
        }
    }

    #[test]
    fn other_extensions_stay() {
        for text in [
            "create extension pgcrypto;",
            "create extension \"PG_NET\";",
            "create extension pg_net_more;",
            "drop extension pg_net;",
            "comment on extension pg_net is 'create extension pg_net;';",
        ] {
            assert_eq!(without(text), text);
        }
    }

    #[test]
    fn what_only_looks_like_the_statement_stays() {
        for text in [
            "select 'a; create extension pg_net;';",
            "select 'it''s; create extension pg_net;';",
            r"select E'\'; create extension pg_net;';",
            r"select '\'; select 1; select '; create extension pg_net;';",
            "select \"; create extension pg_net;\";",
            "-- ; create extension pg_net;\nselect 1;",
            "/* ; /* */ create extension pg_net; */ select 1;",
            "do $$ begin; create extension pg_net; end $$;",
            "do $do$ begin; perform $$ x $$; create extension pg_net; end $do$;",
            "create function a$b$() returns int; select $1; select '$$; create extension pg_net;$$';",
        ] {
            assert_eq!(without(text), text);
        }
    }

    #[test]
    fn a_file_that_breaks_off_is_left_to_postgresql() {
        for text in ["select 'x", "select \"x", "/* x", "/*/", "do $$ x", "do $", "select E'\\", "--", "é"] {
            assert_eq!(without(text), text);
        }
    }
}
