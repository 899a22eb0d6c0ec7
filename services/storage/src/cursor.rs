//! Where a page of `list-v2` ended: base64 of lines `l:` last name, `o:` order, `c:` column, `a:` the column's value.

use base::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::INVALID_PARAMETER;

/// Longest cursor that is looked at, in bytes.
const MAX_BYTES: usize = 4096;

/// The sort columns of `list-v2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    CreatedAt,
    UpdatedAt,
}

impl Column {
    pub(crate) fn parse(text: &str) -> Option<Column> {
        match text {
            "name" => Some(Column::Name),
            "created_at" => Some(Column::CreatedAt),
            "updated_at" => Some(Column::UpdatedAt),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Column::Name => "name",
            Column::CreatedAt => "created_at",
            Column::UpdatedAt => "updated_at",
        }
    }
}

/// The end of one page, which is where the next begins. It carries the order, so that a client need not repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The last entry's name; a folder's ends with its delimiter.
    pub(crate) last: String,
    pub(crate) descending: bool,
    pub(crate) column: Column,
    /// The last entry's value in the sort column, RFC 3339; absent when sorted by name.
    pub(crate) after: Option<String>,
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let order = if self.descending { "desc" } else { "asc" };
        let mut text = format!("l:{}\no:{order}\nc:{}", self.last, self.column.as_str());
        if let Some(after) = &self.after {
            text.push_str("\na:");
            text.push_str(after);
        }
        STANDARD.encode(text)
    }

    /// Reads a cursor. It is not signed: it can name any place in a listing, and policies filter what is listed.
    pub(crate) fn decode(token: &str) -> Result<Cursor> {
        Self::read(token).ok_or_else(|| INVALID_PARAMETER.error("Invalid Parameter continuation token"))
    }

    fn read(token: &str) -> Option<Cursor> {
        let bytes = STANDARD.decode(token).ok().filter(|bytes| bytes.len() <= MAX_BYTES)?;
        let text = String::from_utf8(bytes).ok()?;
        let mut cursor = Cursor { last: String::new(), descending: false, column: Column::Name, after: None };
        for line in text.split('\n') {
            match line.split_once(':')? {
                ("l", last) if !last.contains('\0') => cursor.last = last.to_owned(),
                ("o", order @ ("asc" | "desc")) => cursor.descending = order == "desc",
                ("c", column) => cursor.column = Column::parse(column)?,
                ("a", after) => cursor.after = Some(timestamp(after)?),
                _ => return None,
            }
        }
        let complete = !cursor.last.is_empty() && (cursor.column == Column::Name || cursor.after.is_some());
        complete.then_some(cursor)
    }
}

fn timestamp(text: &str) -> Option<String> {
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, rfc3339).ok().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        for cursor in [
            Cursor { last: "a/b.txt".into(), descending: false, column: Column::Name, after: None },
            Cursor {
                last: "ä:/folder/".into(),
                descending: true,
                column: Column::UpdatedAt,
                after: Some("2026-11-22T15:00:00.123456Z".into()),
            },
        ] {
            assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let encode = |text: &str| STANDARD.encode(text);
        for bad in [
            "%%%".to_owned(),
            encode(""),
            encode("x:1"),
            encode("l:a\no:sideways"),
            encode("l:a\nc:owner"),
            encode("l:a\nc:created_at"),
            encode("l:a\nc:created_at\na:yesterday"),
            encode("l:a\0b"),
            encode("o:asc"),
            encode(&format!("l:{}", "a".repeat(5000))),
        ] {
            assert!(Cursor::decode(&bad).is_err(), "{bad}");
        }
    }
}
