//! Takes `ALTER ROLE … SET …` for roles of the API out of a SQL file. No owner of a project may alter a role, because it is
//! the server's; what the statement says is set for the project's own database instead.

use std::ops::Range;

use super::statements::{blank, statements};

/// The roles whose settings a project's owner decides.
const ROLES: [&str; 4] = ["anon", "authenticated", "service_role", "authenticator"];

/// A setting that sessions of a role start with.
#[derive(Debug, PartialEq)]
pub(super) struct RoleSetting {
    pub(super) role: String,
    pub(super) setting: String,
    /// Taken back if none.
    pub(super) value: Option<String>,
}

/// The text without these statements, and what they say.
pub(super) fn taken_out(text: &str) -> (String, Vec<RoleSetting>) {
    let mut out = text.to_owned();
    let mut found = Vec::new();
    // from the last to the first: a blank can be shorter in bytes than what it replaces
    for statement in statements(text).into_iter().rev() {
        if let Some(setting) = role_setting(text, &statement) {
            blank(&mut out, &statement);
            found.push(setting);
        }
    }
    found.reverse();
    (out, found)
}

/// `ALTER {ROLE|USER} role [IN DATABASE name] {SET setting {TO|=} {value|DEFAULT}|RESET setting} [;]`.
fn role_setting(text: &str, statement: &[Range<usize>]) -> Option<RoleSetting> {
    let mut tokens =
        statement.iter().map(|token| &text[token.clone()]).filter(|token| *token != ";").peekable();
    let mut keyword = |wanted: &[&str]| {
        tokens.next_if(|token| wanted.iter().any(|wanted| token.eq_ignore_ascii_case(wanted))).is_some()
    };
    if !(keyword(&["alter"]) && keyword(&["role", "user"])) {
        return None;
    }
    let role = name(tokens.next()?);
    if !ROLES.contains(&role.as_str()) {
        return None;
    }
    if tokens.next_if(|token| token.eq_ignore_ascii_case("in")).is_some() {
        tokens.next().filter(|token| token.eq_ignore_ascii_case("database"))?;
        tokens.next()?;
    }
    let verb = tokens.next()?.to_ascii_lowercase();
    let mut setting = name(tokens.next()?);
    if tokens.next_if_eq(&".").is_some() {
        setting = format!("{setting}.{}", name(tokens.next()?));
    }
    let value = match verb.as_str() {
        "reset" => None,
        "set" => {
            tokens.next().filter(|token| *token == "=" || token.eq_ignore_ascii_case("to"))?;
            let value = tokens.next()?;
            (!value.eq_ignore_ascii_case("default")).then(|| literal(value))
        }
        _ => return None,
    };
    // a list of values is left to PostgreSQL, and so is what this cannot read
    tokens.next().is_none().then_some(RoleSetting { role, setting, value })
}

/// A name as PostgreSQL stores it.
fn name(token: &str) -> String {
    match token.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => token.to_ascii_lowercase(),
    }
}

/// A value: a string, a word or a number.
fn literal(token: &str) -> String {
    match token.strip_prefix('\'').and_then(|quoted| quoted.strip_suffix('\'')) {
        Some(quoted) => quoted.replace("''", "'"),
        None => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(role: &str, setting: &str, value: Option<&str>) -> RoleSetting {
        RoleSetting { role: role.to_owned(), setting: setting.to_owned(), value: value.map(str::to_owned) }
    }

    #[test]
    fn settings_of_the_apis_roles_are_taken_out() {
        for (statement, expected) in [
            (
                "alter role authenticator set pgrst.db_plan_enabled to 'true';",
                setting("authenticator", "pgrst.db_plan_enabled", Some("true")),
            ),
            (
                "ALTER USER \"anon\" IN DATABASE postgres SET Statement_Timeout = '3s'",
                setting("anon", "statement_timeout", Some("3s")),
            ),
            (
                "alter role anon set pgrst.db_max_rows = 100;",
                setting("anon", "pgrst.db_max_rows", Some("100")),
            ),
            ("alter role anon set app.said = 'it''s';", setting("anon", "app.said", Some("it's"))),
            (
                "alter role authenticated reset statement_timeout;",
                setting("authenticated", "statement_timeout", None),
            ),
            ("alter role anon set statement_timeout to default;", setting("anon", "statement_timeout", None)),
        ] {
            let text = format!("select 1; {statement} ");
            let (rest, found) = taken_out(&text);
            assert_eq!((rest.trim(), found), ("select 1;", vec![expected]), "{statement}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "alter role somebody set statement_timeout = '1s';",
            "alter role anon with nologin;",
            "alter role anon set search_path = a, b;",
            "alter role anon set timezone to local from current;",
            "select 'alter role anon set a.b = 1;';",
            "alter role anon in database;",
            "alter role anon set",
        ] {
            assert_eq!(taken_out(text), (text.to_owned(), Vec::new()), "{text}");
        }
    }
}
