//! Which keys the rows of a JSON document have, without building the document.
//!
//! Values are skipped by a parser that does not recurse.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The keys of a document's rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Every row has these.
    Uniform(BTreeSet<String>),
    /// The rows differ, or some are not objects.
    Different,
    /// Neither an object nor an array, or an array of nothing.
    NoRows,
}

/// The keys of `json`. Errors: it is not JSON.
pub(crate) fn of(json: &[u8]) -> Result<Keys, serde_json::Error> {
    serde_json::from_slice(json)
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        deserializer.deserialize_any(Document)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
        keys_of(map).map(Keys::Uniform)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Keys, A::Error> {
        let mut first: Option<BTreeSet<String>> = None;
        let mut different = false;
        while let Some(Row(keys)) = rows.next_element()? {
            match (&first, keys) {
                (None, Some(keys)) => first = Some(keys),
                (Some(first), Some(keys)) if *first == keys => {}
                _ => {
                    different = true;
                    first.get_or_insert_default();
                }
            }
        }
        Ok(match first {
            _ if different => Keys::Different,
            Some(keys) => Keys::Uniform(keys),
            None => Keys::NoRows,
        })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys::NoRows)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys::NoRows)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys::NoRows)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys::NoRows)
    }
    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys::NoRows)
    }
    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys::NoRows)
    }
}

fn keys_of<'de, A: MapAccess<'de>>(mut map: A) -> Result<BTreeSet<String>, A::Error> {
    let mut keys = BTreeSet::new();
    while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
        keys.insert(key);
    }
    Ok(keys)
}

/// One element of an array: its keys if it is an object.
struct Row(Option<BTreeSet<String>>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_any(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Row, A::Error> {
        keys_of(map).map(|keys| Row(Some(keys)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Row, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Row(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Row, E> {
        Ok(Row(None))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Row, E> {
        Ok(Row(None))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Row, E> {
        Ok(Row(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Row, E> {
        Ok(Row(None))
    }
    fn visit_str<E>(self, _: &str) -> Result<Row, E> {
        Ok(Row(None))
    }
    fn visit_unit<E>(self) -> Result<Row, E> {
        Ok(Row(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(keys: &[&str]) -> Keys {
        Keys::Uniform(keys.iter().map(|&key| key.to_owned()).collect())
    }

    #[test]
    fn rows_agree_or_they_do_not() {
        assert_eq!(of(br#"{"a":1,"b":{"c":2}}"#).unwrap(), uniform(&["a", "b"]));
        assert_eq!(of(br#"[{"a":1},{"a":2}]"#).unwrap(), uniform(&["a"]));
        assert_eq!(of(br#"[{"a":1},{"a":2,"b":3}]"#).unwrap(), Keys::Different);
        assert_eq!(of(br#"[{"a":1},5]"#).unwrap(), Keys::Different);
        assert_eq!(of(br#"[5]"#).unwrap(), Keys::Different);
        assert_eq!(of(br#"[{},{}]"#).unwrap(), uniform(&[]));
    }

    #[test]
    fn documents_without_rows() {
        for text in ["[]", "5", "\"x\"", "null", "true", "1.5", "-1"] {
            assert_eq!(of(text.as_bytes()).unwrap(), Keys::NoRows, "{text}");
        }
    }

    #[test]
    fn a_number_beyond_any_type_is_still_json() {
        assert_eq!(
            of(br#"{"a":1e999999,"b":123456789012345678901234567890}"#).unwrap(),
            uniform(&["a", "b"])
        );
    }
}
