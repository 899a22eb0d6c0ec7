//! What a project's database offers: relations, relationships, functions, roles. Loaded whole, never changed.

pub(crate) mod function;
pub(crate) mod handler;
pub(crate) mod load;
pub(crate) mod options;
pub(crate) mod relationship;
pub(crate) mod role;
pub(crate) mod table;
pub(crate) mod view;

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use function::{Function, Parameter, Volatility};
pub(crate) use handler::{Handler, Handlers};
pub(crate) use relationship::{Cardinality, Junction, Relationship};
pub(crate) use role::{Isolation, Role};
pub(crate) use table::{Column, ColumnType, Table};

/// The name of a relation or function; an empty schema means that the name stands alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub(crate) struct Name {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl Name {
    /// A name in a schema.
    pub(crate) fn new(schema: impl Into<String>, name: impl Into<String>) -> Name {
        Name { schema: schema.into(), name: name.into() }
    }

    /// A name without a schema: an alias or a common table expression of the statement itself.
    pub(crate) fn bare(name: impl Into<String>) -> Name {
        Name { schema: String::new(), name: name.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// SQL text that PostgreSQL's catalog wrote: a type's name, a column's default. It may stand in a statement as it
/// is; nothing of a request can become one, because only the loader makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct CatalogText(String);

impl CatalogText {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
impl From<&str> for CatalogText {
    fn from(text: &str) -> CatalogText {
        CatalogText(text.to_owned())
    }
}

/// One project's schema cache.
#[derive(Debug, Default)]
pub(crate) struct SchemaCache {
    /// Grows with every load: statements prepared under another generation are not used any more.
    pub(crate) generation: u64,
    /// Tables, views and their like in the exposed schemas.
    pub(crate) tables: HashMap<Name, Table>,
    /// Relationships by the relation they start from.
    pub(crate) relationships: HashMap<Name, Vec<Relationship>>,
    /// Functions of the exposed schemas, the overloads of one name together.
    pub(crate) functions: HashMap<Name, Vec<Function>>,
    /// What writes other media types.
    pub(crate) handlers: Handlers,
    /// Roles with settings of their own.
    pub(crate) roles: HashMap<String, Role>,
}

impl SchemaCache {
    /// The relationships from `source` to relations of its own schema.
    pub(crate) fn relationships_of(&self, source: &Name) -> impl Iterator<Item = &Relationship> {
        let all = self.relationships.get(source).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|relationship| relationship.target.schema == source.schema)
    }

    /// The isolation level of a role's transactions.
    pub(crate) fn isolation_of(&self, role: &str) -> Isolation {
        self.roles.get(role).and_then(|role| role.isolation).unwrap_or_default()
    }

    /// All of it, for people.
    pub(crate) fn described(&self) -> serde_json::Value {
        serde_json::json!({
            "generation": self.generation,
            "tables": self.tables.values().collect::<Vec<_>>(),
            "relationships": self.relationships.values().flatten().collect::<Vec<_>>(),
            "functions": self.functions.values().flatten().collect::<Vec<_>>(),
            "handlers": self.handlers.iter().collect::<Vec<_>>(),
            "roles": self.roles,
        })
    }

    /// The overloads of a function.
    pub(crate) fn overloads(&self, name: &Name) -> &[Function] {
        self.functions.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}
