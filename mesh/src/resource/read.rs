//! From text to a configuration: all of it or none, and every mistake with its line.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base::{Code, Error, Result};
use serde::de::IgnoredAny;
use serde_saphyr::{Error as Yaml, MessageFormatter, Options, UserMessageFormatter};

use super::Mesh;
use super::check::check;
use super::locate::Found;

/// A configuration cannot be read. The message has one line for each mistake, `FILE:LINE:COLUMN: reason`.
pub const INVALID_MESH: Code = Code::new(400, "invalid_mesh");

/// The largest file. In bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Keys, values, lists and mappings of one file; the parser's own bound is for smaller ones.
const MAX_NODES: usize = 2_000_000;
/// A file's name where there is none.
const NO_FILE: &str = "<mesh>";

impl Mesh {
    /// The mesh of an installation that nobody configured: `mesh/defaults.yaml`.
    pub fn defaults() -> Mesh {
        let parsed = Mesh::read("defaults.yaml", include_str!("../../defaults.yaml"));
        parsed.expect("a test parses what is compiled in")
    }

    /// A mesh of `trust_domain` with nothing in it.
    pub fn of(trust_domain: &str) -> Mesh {
        Mesh {
            trust_domain: trust_domain.to_owned(),
            asserts: Default::default(),
            denied: Default::default(),
            egress: Vec::new(),
            telemetry: Default::default(),
            services: Default::default(),
            sidecar: None,
        }
    }

    /// Reads YAML, or JSON, which is YAML.
    ///
    /// Errors: [`INVALID_MESH`] with the first mistake in the form, or up to 20 in the meaning.
    pub fn parse(yaml: &str) -> Result<Mesh> {
        Mesh::read(NO_FILE, yaml)
    }

    /// Looks at a configuration that was not read but made.
    ///
    /// Errors: up to 20 mistakes, each with its path, such as `services.data.routes[0].kind`, and its reason.
    pub fn check(&self) -> Result<(), Vec<(String, String)>> {
        let written = serde_json::to_string(self).expect("a configuration is JSON");
        let mut report = check(self, &written);
        let mistakes = report.mistakes().map(|(found, reason)| (found.path.clone(), reason.clone()));
        let mistakes: Vec<_> = mistakes.collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Reads a file. It blocks: call it where that is allowed.
    ///
    /// Errors: [`INVALID_MESH`], also for a file that cannot be read or is over 16 MiB.
    pub fn load(path: &Path) -> Result<Mesh> {
        let name = path.display().to_string();
        let unreadable = |error| INVALID_MESH.error(format!("cannot read {name}")).caused_by(error);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        Mesh::from_bytes(&name, &bytes)
    }

    pub(super) fn from_bytes(name: &str, bytes: &[u8]) -> Result<Mesh> {
        match std::str::from_utf8(bytes) {
            Ok(yaml) => Mesh::read(name, yaml),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(INVALID_MESH.error(format!("{name}:{line}: not UTF-8")))
            }
        }
    }

    fn read(name: &str, yaml: &str) -> Result<Mesh> {
        if yaml.len() > MAX_BYTES {
            return Err(INVALID_MESH.error(format!("{name}: larger than {MAX_BYTES} bytes")));
        }
        let yaml = escaped(yaml);
        let mesh: Mesh = serde_saphyr::from_str_with_options(&yaml, options())
            .map_err(|error| malformed(name, error.without_snippet()))?;
        let mut report = check(&mesh, &yaml);
        let count = report.count;
        if count == 0 {
            return Ok(mesh);
        }
        let mut lines: Vec<String> =
            report.mistakes().map(|(found, reason)| line(name, found, reason)).collect();
        if count > lines.len() {
            lines.push(format!("{name}: and {} more", count - lines.len()));
        }
        Err(INVALID_MESH.error(lines.join("\n")))
    }
}

/// How files are read: only what YAML 1.2 calls true and false, and nothing that is silently ignored.
pub(super) fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_events: 2 * MAX_NODES },
        strict_booleans: true,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        // a check says more about them, and where
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

/// JSON may hold characters as they are that YAML wants escaped.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_bare = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if !text.contains(is_bare) || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_bare(c) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn line(name: &str, found: &Found, reason: &str) -> String {
    let colon = if found.path.is_empty() { "" } else { ": " };
    format!("{name}:{}:{}: {}{colon}{reason}", found.line, found.column, found.path)
}

/// What has not the form of a configuration.
fn malformed(name: &str, error: &Yaml) -> Error {
    let reason = reason(error);
    INVALID_MESH.error(match error.location() {
        Some(at) => format!("{name}:{}:{}: {reason}", at.line(), at.column()),
        None => format!("{name}: {reason}"),
    })
}

fn reason(error: &Yaml) -> String {
    match error {
        Yaml::SerdeUnknownField { field, expected, .. } => {
            match base::config::nearest(field, expected.iter().copied()) {
                Some(near) => format!("there is no key {field:?} here; did you mean {near:?}?"),
                None => format!("there is no key {field:?} here, only {}", expected.join(", ")),
            }
        }
        Yaml::SerdeUnknownVariant { variant, expected, .. } => {
            let near = base::config::nearest(variant, expected.iter().copied());
            let meant = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            format!("{variant:?} is none of {}{meant}", expected.join(", "))
        }
        Yaml::SerdeMissingField { field, .. } => format!("the key {field:?} is missing"),
        Yaml::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key:?} is there twice"),
        Yaml::InvalidScalar { ty, .. } => match *ty {
            "u16" => "not a whole number from 0 to 65535".to_owned(),
            "u32" | "u64" | "usize" => "not a whole number from 0 on, or too large".to_owned(),
            "f64" => "not a number".to_owned(),
            "boolean" => "neither true nor false".to_owned(),
            other => format!("not a valid {other}"),
        },
        Yaml::Unexpected { expected: "sequence start", .. } => "a list is expected".to_owned(),
        Yaml::Unexpected { expected: "mapping start", .. } => "keys with values are expected".to_owned(),
        Yaml::NullIntoString { .. } => "a value is expected".to_owned(),
        Yaml::InvalidBooleanStrict { .. } => "neither true nor false".to_owned(),
        Yaml::AliasError { error, .. } => reason(error),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}
