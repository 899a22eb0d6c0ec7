//! A statement under construction: text that is ours, names that are quoted, values that are bound.

use std::borrow::Cow;

use bytes::Bytes;

use crate::schema::{CatalogText, Name};

/// A statement and its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A bound value. PostgreSQL infers its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text, in the form that the type's input function reads.
    Text(Bytes),
    /// Bytes as they are, for `bytea`.
    Binary(Bytes),
}

impl Sql {
    /// An empty statement.
    pub(crate) fn new() -> Sql {
        Sql::default()
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The values, in the order of their numbers.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Appends text of our own.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Sql {
        self.text.to_mut().push_str(text);
        self
    }

    /// Appends text that the catalog wrote.
    pub(crate) fn catalog(&mut self, text: &CatalogText) -> &mut Sql {
        self.text.to_mut().push_str(text.as_str());
        self
    }

    /// Appends a name in quotes.
    pub(crate) fn identifier(&mut self, name: &str) -> &mut Sql {
        let text = self.text.to_mut();
        text.push('"');
        for c in name.chars() {
            match c {
                '"' => text.push_str("\"\""),
                // no name holds it and no statement may; the parser refuses it long before
                '\0' => {}
                c => text.push(c),
            }
        }
        text.push('"');
        self
    }

    /// Appends a name with its schema, if it has one.
    pub(crate) fn name(&mut self, name: &Name) -> &mut Sql {
        if !name.schema.is_empty() {
            self.identifier(&name.schema).push(".");
        }
        self.identifier(&name.name)
    }

    /// Appends a column with its qualifier; `*` stands for all of them.
    pub(crate) fn column(&mut self, qualifier: &Name, column: &str) -> &mut Sql {
        self.name(qualifier).push(".");
        if column == "*" { self.push("*") } else { self.identifier(column) }
    }

    /// Binds a text value and appends its number.
    pub(crate) fn bind(&mut self, value: impl Into<Bytes>) -> &mut Sql {
        self.bind_value(Value::Text(value.into()))
    }

    /// Binds a value and appends its number.
    pub(crate) fn bind_value(&mut self, value: Value) -> &mut Sql {
        self.values.push(value);
        self.text.to_mut().push('$');
        self.text.to_mut().push_str(&self.values.len().to_string());
        self
    }

    /// A statement that is written already and names its values itself.
    pub(crate) fn fixed(text: &'static str, values: Vec<Value>) -> Sql {
        Sql { text: Cow::Borrowed(text), values }
    }

    /// Appends a statement to one that has bound nothing yet.
    pub(crate) fn append(&mut self, statement: Sql) -> &mut Sql {
        debug_assert!(self.values.is_empty(), "the values would be numbered twice");
        self.text.to_mut().push_str(&statement.text);
        self.values = statement.values;
        self
    }

    /// Binds a whole number.
    pub(crate) fn bind_number(&mut self, number: i64) -> &mut Sql {
        self.bind(number.to_string())
    }

    /// Appends what `each` writes for every item, with `separator` between.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        separator: &'static str,
        mut each: impl FnMut(&mut Sql, T),
    ) -> &mut Sql {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(separator);
            }
            each(self, item);
        }
        self
    }

    /// Appends names in quotes.
    pub(crate) fn identifiers<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> &mut Sql {
        self.list(names, ", ", |sql, name| {
            sql.identifier(name);
        })
    }
}

/// An array in PostgreSQL's text form, with every element quoted.
pub(crate) fn array<'a>(elements: impl IntoIterator<Item = &'a str>) -> String {
    let mut array = String::from("{");
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            array.push(',');
        }
        array.push('"');
        for c in element.chars() {
            if matches!(c, '"' | '\\') {
                array.push('\\');
            }
            array.push(c);
        }
        array.push('"');
    }
    array.push('}');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        let mut sql = Sql::new();
        sql.name(&Name::new("s", "a\"; DROP TABLE x; --")).push(", ").name(&Name::bare("b\0"));

        assert_eq!(sql.text(), r#""s"."a""; DROP TABLE x; --", "b""#);
    }

    #[test]
    fn values_are_numbered() {
        let mut sql = Sql::new();
        sql.bind("a").push(" = ").bind_number(7);

        assert_eq!(sql.text(), "$1 = $2");
        assert_eq!(sql.values(), [Value::Text("a".into()), Value::Text("7".into())]);
    }

    #[test]
    fn array_elements_are_quoted() {
        assert_eq!(array(["a", "b,c", "d\"e\\", "", "null"]), r#"{"a","b,c","d\"e\\","","null"}"#);
        assert_eq!(array([]), "{}");
    }
}
