//! Functions that can be called.

use serde::{Deserialize, Serialize};

use super::{CatalogText, Name};

/// A function of an exposed schema.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Function {
    pub(crate) name: Name,
    pub(crate) description: Option<String>,
    /// The arguments that a caller gives, in order.
    #[serde(default)]
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) returns: Returns,
    pub(crate) volatility: Volatility,
    /// `ALTER FUNCTION … SET …`, as declared.
    #[serde(default)]
    pub(crate) settings: Vec<(String, String)>,
}

/// One argument of a function.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Parameter {
    /// Empty for an argument without a name.
    pub(crate) name: String,
    /// The type as people read it.
    pub(crate) type_name: String,
    /// The type that a value is cast to: without the length 1 that `character` alone would mean.
    pub(crate) cast: CatalogText,
    /// Whether it has no default.
    pub(crate) required: bool,
    pub(crate) variadic: bool,
}

/// What a function returns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Returns {
    /// The type, domains resolved; for a row type the name of its relation.
    pub(crate) type_name: Name,
    /// Any number of rows.
    pub(crate) set: bool,
    /// Rows with columns, not single values.
    pub(crate) composite: bool,
}

/// What a function may do to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Volatility {
    #[serde(rename = "v")]
    Volatile,
    #[serde(rename = "s")]
    Stable,
    #[serde(rename = "i")]
    Immutable,
}

impl Function {
    /// One value, not a row.
    pub(crate) fn returns_scalar(&self) -> bool {
        !self.returns.composite && !self.returns.set
    }

    /// Any number of single values.
    pub(crate) fn returns_scalars(&self) -> bool {
        !self.returns.composite && self.returns.set
    }

    /// One row.
    pub(crate) fn returns_row(&self) -> bool {
        self.returns.composite && !self.returns.set
    }

    /// Nothing.
    pub(crate) fn returns_void(&self) -> bool {
        self.returns_scalar() && self.returns.type_name == Name::new("pg_catalog", "void")
    }

    /// The relation whose rows it returns, as embedding sees it; its own name for values.
    pub(crate) fn row_relation(&self) -> Name {
        let relation = if self.returns.composite { &self.returns.type_name.name } else { &self.name.name };
        Name::new(self.name.schema.clone(), relation.clone())
    }

    /// `schema.name(argument => type, …)`, for people.
    pub(crate) fn signature(&self) -> String {
        let arguments: Vec<String> =
            self.parameters.iter().map(|p| format!("{} => {}", p.name, p.type_name)).collect();
        format!("{}({})", self.name, arguments.join(", "))
    }
}
