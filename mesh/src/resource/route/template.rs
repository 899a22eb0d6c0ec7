//! Paths with placeholders.

use serde::{Deserialize, Serialize};

/// A path with placeholders, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
    Rest,
}

impl Template {
    /// Reads `/a/{id}/b` or `/files/{*path}`.
    pub fn parse(text: &str) -> Result<Template, String> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("the template {text} must begin with /"))?;
        let mut segments = Vec::new();
        for part in path.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err(format!("nothing may follow the rest in the template {text}"));
            }
            let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            segments.push(match inner {
                Some("" | "*") => return Err(format!("a placeholder of the template {text} has no name")),
                Some(name) if name.starts_with('*') => Segment::Rest,
                Some(_) => Segment::Any,
                None if part.contains(['{', '}']) => {
                    return Err(format!("a placeholder of the template {text} must be a whole segment"));
                }
                None => Segment::Literal(part.to_owned()),
            });
        }
        Ok(Template { text: text.to_owned(), segments })
    }

    /// Whether `path` has this form. A placeholder takes one segment that is not empty, a rest at least one.
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut parts = path.split('/');
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Literal(literal), Some(part)) if part == literal => {}
                (Segment::Any, Some(part)) if !part.is_empty() => {}
                (Segment::Rest, Some(_)) => return true,
                _ => return false,
            }
        }
        parts.next().is_none()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
        Template::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
