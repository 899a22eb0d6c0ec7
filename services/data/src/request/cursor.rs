//! Cursors: where a page of rows begins or ends, by the keys of the row beside it instead of a number of rows to skip.

use base::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::CURSOR;

/// Longest token, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Which page of rows is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) side: Side,
    /// The row beside the page; the first or last page without one.
    pub(crate) position: Option<Position>,
    /// The rest of the query, encoded.
    pub(crate) others: String,
}

/// On which side of the position the page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    After,
    Before,
}

/// A row's place in an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// The order, as text: a place in one says nothing about another.
    #[serde(rename = "o")]
    pub(crate) order: String,
    /// What the row is ordered by, as PostgreSQL writes it.
    #[serde(rename = "k")]
    pub(crate) keys: Vec<Option<String>>,
}

impl Side {
    /// The parameter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::After => "after",
            Side::Before => "before",
        }
    }
}

impl Position {
    /// Reads a token; an empty one is none.
    ///
    /// Errors: MB102.
    pub(crate) fn parse(token: &str) -> Result<Option<Position>> {
        if token.is_empty() {
            return Ok(None);
        }
        if token.len() > MAX_TOKEN {
            return Err(unknown());
        }
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| unknown())?;
        let position: Position = serde_json::from_slice(&json).map_err(|_| unknown())?;
        // no value in PostgreSQL can hold it
        if position.keys.iter().flatten().any(|key| key.contains('\0')) {
            return Err(unknown());
        }
        Ok(Some(position))
    }

    /// The token.
    ///
    /// Errors: MB102 for keys that are too long for one.
    pub(crate) fn token(&self) -> Result<String> {
        let json = serde_json::to_vec(self).expect("strings serialise");
        let token = URL_SAFE_NO_PAD.encode(json);
        if token.len() > MAX_TOKEN {
            return Err(CURSOR.error("what the rows are ordered by is too long for a cursor"));
        }
        Ok(token)
    }
}

fn unknown() -> Error {
    CURSOR
        .error("the cursor is none that this API gave")
        .with_hint("Begin with an empty one (after=) and follow the Link header.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back() {
        let position = Position {
            order: "a.asc".to_owned(),
            keys: vec![Some("x".to_owned()), None, Some(String::new())],
        };

        assert_eq!(Position::parse(&position.token().unwrap()).unwrap(), Some(position));
        assert_eq!(Position::parse("").unwrap(), None);
    }

    #[test]
    fn keys_too_long_for_a_token_are_refused() {
        let position = Position { order: String::new(), keys: vec![Some("a".repeat(MAX_TOKEN))] };

        assert_eq!(position.token().unwrap_err().code.name(), "MB102");
    }

    #[test]
    fn others_are_refused() {
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for token in [
            "x",
            "????",
            &encode("{}"),
            &encode(r#"{"o":"a","k":[1]}"#),
            &encode(r#"{"o":"a","k":["a\u0000"]}"#),
            &encode(r#"{"o":"a","k":[],"z":1}"#),
            &encode(&format!(r#"{{"o":"{}","k":[]}}"#, "a".repeat(MAX_TOKEN))),
        ] {
            assert_eq!(Position::parse(token).unwrap_err().code.name(), "MB102", "{token}");
        }
    }
}
