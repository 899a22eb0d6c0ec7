//! A bounded memory of answers: when it is full, the least recently used goes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

/// What an entry costs beside its key, headers and body, roughly; and each header beside its text.
const ENTRY_OVERHEAD: usize = 256;
const HEADER_OVERHEAD: usize = 64;

/// One request of one caller, whole: two different ones are never taken for each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(super) Arc<[u8]>);

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Memory {
    entries: HashMap<Key, Entry>,
    /// The number of each entry's last use → its key.
    by_use: BTreeMap<u64, Key>,
    next_use: u64,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    kept_at: Instant,
    last_use: u64,
    cost: usize,
}

impl Memory {
    /// For at most `max_bytes`, keys and headers included.
    pub(super) fn new(max_bytes: usize) -> Memory {
        Memory { entries: HashMap::new(), by_use: BTreeMap::new(), next_use: 0, bytes: 0, max_bytes }
    }

    /// When the answer for `key` came.
    pub(super) fn kept_at(&self, key: &Key) -> Option<Instant> {
        self.entries.get(key).map(|entry| entry.kept_at)
    }

    /// Keeps an answer that came at `now`, unless a later one is there or it is larger than all of the memory.
    pub(super) fn insert(&mut self, key: Key, answer: Answer, now: Instant) {
        let headers = answer.headers.iter();
        let headers: usize = headers.map(|(k, v)| k.as_str().len() + v.len() + HEADER_OVERHEAD).sum();
        let cost = key.0.len() + headers + answer.body.len() + ENTRY_OVERHEAD;
        let is_overtaken = self.kept_at(&key).is_some_and(|there| there > now);
        if is_overtaken || cost > self.max_bytes {
            return;
        }
        self.remove(&key);
        while self.bytes + cost > self.max_bytes && self.remove_oldest() {}
        let last_use = self.next_use;
        self.next_use += 1;
        self.bytes += cost;
        self.by_use.insert(last_use, key.clone());
        self.entries.insert(key, Entry { answer, kept_at: now, last_use, cost });
    }

    /// The answer for `key`, which counts as used.
    pub(super) fn touch(&mut self, key: &Key) -> Option<Answer> {
        let entry = self.entries.get_mut(key)?;
        let key = self.by_use.remove(&entry.last_use)?;
        entry.last_use = self.next_use;
        self.by_use.insert(self.next_use, key);
        self.next_use += 1;
        Some(entry.answer.clone())
    }

    /// Forgets the answer for `key`.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.last_use);
            self.bytes -= entry.cost;
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let Some((_, key)) = self.by_use.pop_first() else { return false };
        self.remove(&key);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key(text.as_bytes().into())
    }

    fn answer(body: usize) -> Answer {
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from(vec![0; body]) }
    }

    #[test]
    fn the_least_recently_used_goes_when_the_memory_is_full() {
        let (mut memory, now) = (Memory::new(5_600), Instant::now());
        for n in ["0", "1", "2", "3"] {
            memory.insert(key(n), answer(1_000), now);
        }
        assert_eq!(memory.entries.len(), 4);
        memory.touch(&key("0")).unwrap();

        memory.insert(key("4"), answer(1_000), now);

        let there = ["0", "1", "2", "3", "4"].map(|n| memory.touch(&key(n)).is_some());
        assert_eq!(there, [true, false, true, true, true]);
        assert_eq!(memory.by_use.len(), 4);
        assert!(memory.bytes <= 5_600);
    }

    #[test]
    fn keys_and_headers_count_as_memory() {
        let (mut memory, now) = (Memory::new(10_000), Instant::now());
        let long = "x".repeat(5_000);
        let mut large = answer(0);
        large.headers.insert("x-a", long.parse().unwrap());

        memory.insert(key(&long), large.clone(), now);
        assert!(memory.touch(&key(&long)).is_none());
        memory.insert(key("short"), large, now);

        assert!(memory.touch(&key("short")).is_some());
    }

    #[test]
    fn what_went_costs_nothing() {
        let (mut memory, now) = (Memory::new(10_000), Instant::now());
        for n in 0..100 {
            memory.insert(key("same"), answer(n), now);
            memory.insert(key(&n.to_string()), answer(n), now);
            assert_eq!(memory.by_use.len(), memory.entries.len());
        }

        memory.remove(&key("same"));
        while memory.remove_oldest() {}

        assert_eq!((memory.bytes, memory.entries.len(), memory.by_use.len()), (0, 0, 0));
    }

    #[test]
    fn an_older_answer_does_not_replace_a_newer_one() {
        let (mut memory, now) = (Memory::new(10_000), Instant::now());
        memory.insert(key("a"), answer(2), now + std::time::Duration::from_secs(1));

        memory.insert(key("a"), answer(1), now);

        assert_eq!(memory.touch(&key("a")).unwrap().body.len(), 2);
    }
}
