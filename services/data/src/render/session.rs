//! What holds for a transaction: its beginning, its settings, and the function that may run before its statement.

use std::sync::OnceLock;

use bytes::Bytes;

use super::sql::{Sql, Value};
use crate::schema::Name;
use crate::schema::role::Isolation;

/// `BEGIN` at a level, perhaps without the right to write.
pub(crate) fn begin(isolation: Isolation, read_only: bool) -> &'static str {
    match (isolation, read_only) {
        (Isolation::ReadCommitted, true) => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
        (Isolation::ReadCommitted, false) => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        (Isolation::RepeatableRead, true) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        (Isolation::RepeatableRead, false) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
        (Isolation::Serializable, true) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        (Isolation::Serializable, false) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
    }
}

/// Sets each setting, given as name and value, for the transaction, in order.
pub(crate) fn settings(all: Vec<(Bytes, Bytes)>) -> Sql {
    // every request has this statement: it is written once for each number of settings that is usual
    static WRITTEN: [OnceLock<String>; 32] = [const { OnceLock::new() }; 32];
    let Some(written) = WRITTEN.get(all.len()) else { return set(all) };
    let text = written.get_or_init(|| set(all.clone()).text().to_owned());
    Sql::fixed(text, all.into_iter().flat_map(|(name, value)| [name, value]).map(Value::Text).collect())
}

fn set(all: Vec<(Bytes, Bytes)>) -> Sql {
    let mut sql = Sql::new();
    sql.push("SELECT ").list(all, ", ", |sql, (name, value)| {
        sql.push("set_config(").bind(name).push(", ").bind(value).push(", true)");
    });
    sql
}

/// A schema path as the setting holds it.
pub(crate) fn search_path<'a>(schemas: impl IntoIterator<Item = &'a str>) -> String {
    let mut sql = Sql::new();
    sql.identifiers(schemas);
    sql.text().to_owned()
}

/// Calls a function that runs before each statement, or before the settings are read, given as `schema.name` or `name`.
pub(crate) fn pre_request(function: &str) -> Sql {
    let name = match function.split_once('.') {
        Some((schema, name)) => Name::new(schema, name),
        None => Name::bare(function),
    };
    let mut sql = Sql::new();
    sql.push("SELECT ").name(&name).push("()");
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_bound_and_local() {
        let sql = settings(vec![("role".into(), "anon'; --".into()), ("a.b".into(), "".into())]);

        assert_eq!(sql.text(), "SELECT set_config($1, $2, true), set_config($3, $4, true)");
        let values = ["role", "anon'; --", "a.b", ""].map(|value| Value::Text(value.into()));
        assert_eq!(sql.values(), values);
        let many = settings(vec![("a.b".into(), "".into()); 40]);
        assert!(many.text().ends_with(", set_config($79, $80, true)"), "{}", many.text());
    }

    #[test]
    fn schemas_of_a_path_are_quoted() {
        assert_eq!(search_path(["public", "a\"b"]), r#""public", "a""b""#);
        assert_eq!(pre_request("hooks.check").text(), r#"SELECT "hooks"."check"()"#);
    }
}
