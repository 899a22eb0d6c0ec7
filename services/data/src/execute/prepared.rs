//! The statements that are prepared on one connection.
//!
//! A statement is prepared when it comes the second time: most that come once never come again. The role is part
//! of the key, because PostgreSQL checks the right to use a schema when a statement is read, not when it runs.

use std::collections::HashMap;

/// Statements remembered per connection.
const MAX: usize = 256;

/// Which statements a connection knows, by the numbers that they are kept under.
#[derive(Default)]
pub(crate) struct Prepared {
    /// The schema cache's generation: what was prepared under another may rest on types that are gone.
    generation: u64,
    entries: HashMap<String, Entry>,
    uses: u64,
    /// Statements that set settings, by how many values they have: they depend on no schema and no role.
    settings: HashMap<usize, u32>,
    /// Those that the server is to forget.
    dropped: Vec<u32>,
}

struct Entry {
    number: Option<u32>,
    used_at: u64,
}

/// What is known of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It comes for the first time: run it as it is.
    First,
    /// It came before: it is worth preparing.
    Again,
    /// It is prepared.
    Ready(u32),
}

impl Prepared {
    /// Looks up a statement of a role, and remembers that it came.
    pub(crate) fn look_up(&mut self, generation: u64, role: &str, sql: &str) -> Lookup {
        if self.generation != generation {
            self.generation = generation;
            self.dropped.extend(self.entries.drain().filter_map(|(_, entry)| entry.number));
        }
        self.uses += 1;
        let used_at = self.uses;
        match self.entries.get_mut(&key(role, sql)) {
            Some(entry) => {
                entry.used_at = used_at;
                entry.number.map_or(Lookup::Again, Lookup::Ready)
            }
            None => {
                self.make_room();
                self.entries.insert(key(role, sql), Entry { number: None, used_at });
                Lookup::First
            }
        }
    }

    /// The statement that binds so many values as settings.
    pub(crate) fn settings(&self, values: usize) -> Option<u32> {
        self.settings.get(&values).copied()
    }

    /// Keeps such a statement.
    pub(crate) fn keep_settings(&mut self, values: usize, number: u32) {
        self.settings.insert(values, number);
    }

    /// Keeps a prepared statement.
    pub(crate) fn keep(&mut self, role: &str, sql: &str, number: u32) {
        match self.entries.get_mut(&key(role, sql)) {
            Some(entry) => entry.number = Some(number),
            None => self.dropped.push(number),
        }
    }

    /// Forgets a statement that failed: what it was prepared for may have changed.
    pub(crate) fn forget(&mut self, role: &str, sql: &str, number: u32) {
        self.entries.remove(&key(role, sql));
        self.dropped.push(number);
    }

    /// The statements that the server is to forget.
    pub(crate) fn dropped(&mut self) -> impl Iterator<Item = u32> {
        self.dropped.drain(..)
    }

    /// Drops the statement that was not used for longest.
    fn make_room(&mut self) {
        if self.entries.len() < MAX {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used_at).map(|(key, _)| key.clone());
        if let Some(entry) = oldest.and_then(|oldest| self.entries.remove(&oldest)) {
            self.dropped.extend(entry.number);
        }
    }
}

fn key(role: &str, sql: &str) -> String {
    // a role's name cannot hold NUL, so no two pairs make one key
    [role, "\0", sql].concat()
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

    #[test]
    fn what_is_not_known_any_more_is_to_be_forgotten() {
        let mut prepared = Prepared::default();
        for number in 0..3 {
            let sql = format!("SELECT {number}");
            let _ = prepared.look_up(1, "anon", &sql);
            prepared.keep("anon", &sql, number);
        }

        assert_eq!(prepared.look_up(1, "anon", "SELECT 1"), Lookup::Ready(1));
        prepared.forget("anon", "SELECT 1", 1);
        assert_eq!(prepared.look_up(1, "anon", "SELECT 1"), Lookup::First);
        let _ = prepared.look_up(2, "anon", "SELECT 1");
        let mut dropped: Vec<u32> = prepared.dropped().collect();
        dropped.sort_unstable();
        assert_eq!(dropped, [0, 1, 2]);
    }
}
