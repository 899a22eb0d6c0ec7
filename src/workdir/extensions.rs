//! Leaves `CREATE EXTENSION` statements out of a SQL file.

use std::ops::Range;

use super::statements::{blank, statements};

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
            blank(&mut out, &statement);
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
