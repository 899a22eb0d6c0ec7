//! CSV bodies (RFC 4180): a line of names, then rows.

use std::collections::BTreeSet;

use ::csv::{Error, ErrorKind, ReaderBuilder, StringRecord};
use base::Result;
use bytes::Bytes;

use crate::error;

/// What stands for no value.
const NULL: &str = "NULL";

/// The rows as JSON objects of text, which PostgreSQL reads as each column's type; and the columns.
///
/// Errors: PGRST102 for lines of different lengths, and for what is not UTF-8.
pub(super) fn rows(bytes: &[u8]) -> Result<(Bytes, BTreeSet<String>)> {
    let mut reader = ReaderBuilder::new().from_reader(bytes);
    let names = reader.headers().map_err(refused)?.clone();
    let keys: Vec<String> = names.iter().map(|name| format!("{}:", quoted(name))).collect();
    let mut json = String::with_capacity(bytes.len() * 2);
    json.push('[');
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(refused)? {
        json.push_str(if json.len() > 1 { ",{" } else { "{" });
        for (number, (key, value)) in keys.iter().zip(&record).enumerate() {
            json.push_str(if number > 0 { "," } else { "" });
            json.push_str(key);
            match value {
                NULL => json.push_str("null"),
                text => json.push_str(&quoted(text)),
            }
        }
        json.push('}');
    }
    json.push(']');
    Ok((Bytes::from(json), names.iter().map(str::to_owned).collect()))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn refused(cause: Error) -> base::Error {
    let why = match cause.kind() {
        ErrorKind::UnequalLengths { .. } => "All lines must have same number of fields",
        ErrorKind::Utf8 { .. } => "the CSV is not UTF-8 text",
        _ => "the CSV cannot be read",
    };
    error::body(why).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let (json, _) = rows(text.as_bytes()).map_err(|error| error.message.into_owned())?;
        Ok(String::from_utf8(json.to_vec()).unwrap())
    }

    #[test]
    fn rows_are_objects_of_text() {
        assert_eq!(read("a,b\nx,NULL\n").unwrap(), r#"[{"a":"x","b":null}]"#);
        assert_eq!(read("\"a\"\"b\"\r\n\"x,\ny\"\r\n\"\"").unwrap(), r#"[{"a\"b":"x,\ny"},{"a\"b":""}]"#);
        assert_eq!(read("a,b\n").unwrap(), "[]");
        assert_eq!(read("").unwrap(), "[]");
    }

    #[test]
    fn the_names_are_the_columns() {
        let (_, columns) = rows(b"b,a\n1,2").unwrap();
        assert_eq!(columns, ["a".to_owned(), "b".to_owned()].into());
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(read("a,b\nx\n").unwrap_err(), "All lines must have same number of fields");
        let error = rows(b"a\n\xff").unwrap_err();
        assert_eq!((error.code.name(), &*error.message), ("PGRST102", "the CSV is not UTF-8 text"));
    }
}
