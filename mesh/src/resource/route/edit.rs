//! Changes to headers.

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::text::{names, pairs};

/// Changes to headers: removed first, then set, then added. Our own and those of the framing cannot be changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Edit {
    /// Names that go.
    #[schemars(with = "Vec<String>")]
    #[serde(skip_serializing_if = "Vec::is_empty", with = "names")]
    pub remove: Vec<HeaderName>,
    /// Values that replace what is there.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    #[serde(skip_serializing_if = "Vec::is_empty", with = "pairs")]
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Values that come beside what is there.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    #[serde(skip_serializing_if = "Vec::is_empty", with = "pairs")]
    pub add: Vec<(HeaderName, HeaderValue)>,
}
