//! What documents look like, for editors and checks: JSON Schema, draft 2020-12.

use mesh::resource::{self, Mesh};
use schemars::generate::SchemaGenerator;
use schemars::{Schema, schema_for};
use serde_json::{Value, json};

use super::{AssertionSpec, FallbackSpec, FaultSpec, Kind, LimitSpec, PolicySpec, RouteSpec, SplitSpec};

/// The schema of one document, `{kind, name, spec}`.
///
/// It says what can be said of a document alone; whether the mesh that documents make together holds, `mesh diff` says.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let kinds = Kind::ALL.map(|kind| {
        let spec = spec(kind, &mut generator);
        json!({ "if": { "properties": { "kind": { "const": kind } } }, "then": { "properties": { "spec": spec } } })
    });
    json!({
        "$schema": generator.settings().meta_schema,
        "title": "Document",
        "type": "object",
        "required": ["kind", "name", "spec"],
        "properties": {
            "kind": { "enum": Kind::ALL, "description": "What it is about." },
            "name": { "type": "string", "description": "Unique in its kind. That of a service is the service's." },
            "spec": { "type": "object" },
        },
        "additionalProperties": false,
        "allOf": kinds,
        "$defs": generator.take_definitions(true),
    })
}

/// The schema of a whole mesh file, as a lone proxy reads it.
pub fn mesh_schema() -> Value {
    schema_for!(Mesh).to_value()
}

fn spec(kind: Kind, generator: &mut SchemaGenerator) -> Schema {
    match kind {
        Kind::Service => generator.subschema_for::<resource::Service>(),
        Kind::Route => generator.subschema_for::<RouteSpec>(),
        Kind::Policy => generator.subschema_for::<PolicySpec>(),
        Kind::Limit => generator.subschema_for::<LimitSpec>(),
        Kind::Split => generator.subschema_for::<SplitSpec>(),
        Kind::Fault => generator.subschema_for::<FaultSpec>(),
        Kind::Fallback => generator.subschema_for::<FallbackSpec>(),
        Kind::Egress => generator.subschema_for::<resource::Egress>(),
        Kind::Telemetry => generator.subschema_for::<resource::Telemetry>(),
        Kind::Assertion => generator.subschema_for::<AssertionSpec>(),
    }
}
