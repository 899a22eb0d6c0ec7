//! The statements that are prepared on one connection.
//!
//! A statement is prepared when it comes the second time: most that come once never come again. The role is part
//! of the key, because PostgreSQL checks the right to use a schema when a statement is read, not when it runs.

use std::collections::HashMap;

use tokio_postgres::Statement;

/// Statements remembered per connection.
const MAX: usize = 256;

/// Which statements a connection knows.
#[derive(Default)]
pub(crate) struct Prepared {
    /// The schema cache's generation: what was prepared under another may rest on types that are gone.
    generation: u64,
    entries: HashMap<String, Entry>,
    uses: u64,
    /// Statements that set settings, by how many values they have: they depend on no schema and no role.
    settings: HashMap<usize, Statement>,
}

struct Entry {
    statement: Option<Statement>,
    used_at: u64,
}

/// What is known of a statement.
pub(crate) enum Lookup {
    /// It comes for the first time: run it as it is.
    First,
    /// It came before: it is worth preparing.
    Again,
    /// It is prepared.
    Ready(Statement),
}

impl Prepared {
    /// Looks up a statement of a role, and remembers that it came.
    pub(crate) fn look_up(&mut self, generation: u64, role: &str, sql: &str) -> Lookup {
        if self.generation != generation {
            self.generation = generation;
            self.entries.clear();
        }
        self.uses += 1;
        let used_at = self.uses;
        match self.entries.get_mut(&key(role, sql)) {
            Some(entry) => {
                entry.used_at = used_at;
                entry.statement.clone().map_or(Lookup::Again, Lookup::Ready)
            }
            None => {
                self.make_room();
                self.entries.insert(key(role, sql), Entry { statement: None, used_at });
                Lookup::First
            }
        }
    }

    /// The statement that binds so many values as settings.
    pub(crate) fn settings(&self, values: usize) -> Option<Statement> {
        self.settings.get(&values).cloned()
    }

    /// Keeps such a statement.
    pub(crate) fn keep_settings(&mut self, values: usize, statement: Statement) {
        if self.settings.len() < MAX {
            self.settings.insert(values, statement);
        }
    }

    /// Keeps a prepared statement.
    pub(crate) fn keep(&mut self, role: &str, sql: &str, statement: Statement) {
        if let Some(entry) = self.entries.get_mut(&key(role, sql)) {
            entry.statement = Some(statement);
        }
    }

    /// Forgets a statement that failed: what it was prepared for may have changed.
    pub(crate) fn forget(&mut self, role: &str, sql: &str) {
        self.entries.remove(&key(role, sql));
    }

    /// Drops the statement that was not used for longest. Dropping closes it in the server.
    fn make_room(&mut self) {
        if self.entries.len() < MAX {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used_at).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.entries.remove(&oldest);
        }
    }
}

fn key(role: &str, sql: &str) -> String {
    // a role's name cannot hold NUL, so no two pairs make one key
    format!("{role}\0{sql}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_worth_preparing_when_it_comes_again() {
        let mut prepared = Prepared::default();

        assert!(matches!(prepared.look_up(1, "anon", "SELECT 1"), Lookup::First));
        assert!(matches!(prepared.look_up(1, "anon", "SELECT 1"), Lookup::Again));
        assert!(matches!(prepared.look_up(1, "service_role", "SELECT 1"), Lookup::First));
    }

    #[test]
    fn a_new_schema_forgets_all() {
        let mut prepared = Prepared::default();
        let _ = prepared.look_up(1, "anon", "SELECT 1");

        assert!(matches!(prepared.look_up(2, "anon", "SELECT 1"), Lookup::First));
    }

    #[test]
    fn their_number_is_bounded_and_the_least_used_goes() {
        let mut prepared = Prepared::default();
        for n in 0..MAX * 2 {
            let _ = prepared.look_up(1, "anon", &format!("SELECT {n}"));
            let _ = prepared.look_up(1, "anon", "SELECT 'often'");
        }

        assert_eq!(prepared.entries.len(), MAX);
        assert!(matches!(prepared.look_up(1, "anon", "SELECT 'often'"), Lookup::Again));
    }
}
