//! What holds for a transaction: its beginning, its settings, and the function that may run before its statement.

use super::sql::Sql;
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

/// Sets each setting for the transaction, in order.
pub(crate) fn settings(all: &[(String, String)]) -> Sql {
    let mut sql = Sql::new();
    sql.push("SELECT ").list(all, ", ", |sql, (name, value)| {
        sql.push("set_config(").bind(name.clone()).push(", ").bind(value.clone()).push(", true)");
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
        let sql = settings(&[("role".to_owned(), "anon'; --".to_owned()), ("a.b".to_owned(), String::new())]);

        assert_eq!(sql.text(), "SELECT set_config($1, $2, true), set_config($3, $4, true)");
    }

    #[test]
    fn schemas_of_a_path_are_quoted() {
        assert_eq!(search_path(["public", "a\"b"]), r#""public", "a""b""#);
        assert_eq!(pre_request("hooks.check").text(), r#"SELECT "hooks"."check"()"#);
    }
}
