//! From files to documents: all of them or none, and every mistake with its line.

use base::{Code, Result};
use mesh::resource::{self, Mesh};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    AssertionSpec, FallbackSpec, FaultSpec, Key, Kind, LimitSpec, PolicySpec, Resources, RouteSpec, SplitSpec,
};

/// A document cannot be read, or the mesh that it would make cannot be. One line for each mistake.
pub const INVALID_RESOURCE: Code = Code::new(400, "invalid_resource");

/// A document, and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Which.
    pub key: Key,
    /// What it says.
    pub spec: Value,
    /// `FILE:LINE` of its beginning.
    pub at: String,
}

/// Reads the documents of a file: YAML or JSON with `---` between them, each `{kind, name, spec}`; or one whole mesh
/// file as a lone proxy has it.
///
/// Errors: [`INVALID_RESOURCE`] with `FILE:LINE: reason` for each document that is none.
pub fn documents(file: &str, text: &str) -> Result<Vec<Document>> {
    let (mut documents, mut mistakes) = (Vec::new(), Vec::new());
    for (line, part) in parts(text) {
        match read(file, line, &part) {
            Ok(found) => documents.extend(found),
            Err(reason) => mistakes.push(reason),
        }
    }
    let mut seen = std::collections::BTreeMap::new();
    for document in &documents {
        if let Some(before) = seen.insert(&document.key, &document.at) {
            mistakes.push(format!("{}: {} is there twice, also at {before}", document.at, document.key));
        }
    }
    match mistakes.is_empty() {
        true => Ok(documents),
        false => Err(INVALID_RESOURCE.error(mistakes.join("\n"))),
    }
}

/// The documents' texts with the number of their first line.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            parts.push((index + 2, String::new()));
        } else {
            let part = &mut parts.last_mut().expect("there is always one").1;
            part.push_str(line);
            part.push('\n');
        }
    }
    let is_empty =
        |part: &str| part.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    parts.retain(|(_, part)| !is_empty(part));
    parts
}

/// One document, or those of a whole mesh file.
fn read(file: &str, line: usize, text: &str) -> Result<Vec<Document>, String> {
    #[derive(Deserialize)]
    struct Head {
        kind: Option<Kind>,
    }
    let here = |at: usize| format!("{file}:{}", line + at - 1);
    let located = |error: &serde_saphyr::Error| {
        let at = error.location().map_or(1, |location| location.line() as usize);
        format!("{}: {}", here(at), first_line(&error.without_snippet().to_string()))
    };
    let is_mesh = text.lines().any(|line| line.starts_with("services:") || line.starts_with("trust_domain:"));
    if is_mesh {
        let mesh = Mesh::parse(text).map_err(|error| error.message.replace("<mesh>", file))?;
        let documents = Resources::of(&mesh);
        let one =
            |(key, spec): (&Key, &Value)| Document { key: key.clone(), spec: spec.clone(), at: here(1) };
        return Ok(documents.iter().map(one).collect());
    }
    let head: Head = serde_saphyr::from_str(text).map_err(|error| located(&error))?;
    let Some(kind) = head.kind else {
        return Err(format!(
            "{}: a document needs a kind: {}",
            here(1),
            Kind::ALL.map(Kind::name).join(", ")
        ));
    };
    let (name, spec) = match kind {
        Kind::Service => typed::<resource::Service>(text),
        Kind::Route => typed::<RouteSpec>(text),
        Kind::Policy => typed::<PolicySpec>(text),
        Kind::Limit => typed::<LimitSpec>(text),
        Kind::Split => typed::<SplitSpec>(text),
        Kind::Fault => typed::<FaultSpec>(text),
        Kind::Fallback => typed::<FallbackSpec>(text),
        Kind::Egress => typed::<resource::Egress>(text),
        Kind::Telemetry => typed::<resource::Telemetry>(text),
        Kind::Assertion => typed::<AssertionSpec>(text),
    }
    .map_err(|error| located(&error))?;
    Ok(vec![Document { key: Key { kind, name }, spec, at: here(1) }])
}

/// A document whose spec is a `T`, so that what it holds beyond that is a mistake with its line.
fn typed<T: DeserializeOwned + serde::Serialize>(text: &str) -> Result<(String, Value), serde_saphyr::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Typed<T> {
        #[serde(rename = "kind")]
        _kind: Kind,
        name: String,
        spec: T,
    }
    let document: Typed<T> = serde_saphyr::from_str(text)?;
    // as it is understood, with every default: two ways of writing the same are no difference
    let spec = serde_json::to_value(document.spec).unwrap_or_default();
    Ok((document.name, spec))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
