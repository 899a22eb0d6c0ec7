//! Media types: those that PostgREST's protocol gives a meaning, and all others by name (RFC 9110 §8.3.1).

use std::fmt;

/// A media type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MediaType {
    Json,
    GeoJson,
    Csv,
    /// One JSON document on each line (ndjson.org).
    Lines,
    Text,
    Xml,
    OctetStream,
    UrlEncoded,
    /// The description of the schema: in OpenAPI 2.0, or in 3.1.
    OpenApi {
        modern: bool,
    },
    /// `*/*`.
    Any,
    /// An array of rows without their nulls.
    StrippedArray,
    /// One row, perhaps without its nulls.
    Object {
        stripped: bool,
    },
    /// How PostgreSQL would go about an answer of another type.
    Plan(Box<Explain>),
    /// One that has no meaning here, in lower case.
    Other(String),
}

/// What is to be explained, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Explain {
    /// The type of the answer that is explained.
    pub(crate) of: MediaType,
    /// As JSON instead of text.
    pub(crate) json: bool,
    /// `EXPLAIN`'s options.
    pub(crate) options: Vec<ExplainOption>,
}

/// An option of `EXPLAIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ExplainOption {
    Analyze,
    Verbose,
    Settings,
    Buffers,
    Wal,
}

impl ExplainOption {
    const ALL: [ExplainOption; 5] = [
        ExplainOption::Analyze,
        ExplainOption::Verbose,
        ExplainOption::Settings,
        ExplainOption::Buffers,
        ExplainOption::Wal,
    ];

    /// Its name in a media type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ExplainOption::Analyze => "analyze",
            ExplainOption::Verbose => "verbose",
            ExplainOption::Settings => "settings",
            ExplainOption::Buffers => "buffers",
            ExplainOption::Wal => "wal",
        }
    }
}

impl MediaType {
    /// Reads one media type with its parameters.
    pub(crate) fn parse(text: &str) -> MediaType {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let stripped = || parameter(text, "nulls") == Some("stripped");
        match essence.as_str() {
            "application/json" => MediaType::Json,
            "application/geo+json" => MediaType::GeoJson,
            "text/csv" => MediaType::Csv,
            "application/x-ndjson" => MediaType::Lines,
            "text/plain" => MediaType::Text,
            "text/xml" => MediaType::Xml,
            "application/octet-stream" => MediaType::OctetStream,
            "application/x-www-form-urlencoded" => MediaType::UrlEncoded,
            "application/openapi+json" | "application/vnd.oai.openapi+json" => {
                let modern = parameter(text, "version").is_some_and(|version| version.starts_with('3'));
                MediaType::OpenApi { modern }
            }
            "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object" => {
                MediaType::Object { stripped: stripped() }
            }
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" if stripped() => {
                MediaType::StrippedArray
            }
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" => MediaType::Json,
            "application/vnd.pgrst.plan" | "application/vnd.pgrst.plan+text" => explain(text, false),
            "application/vnd.pgrst.plan+json" => explain(text, true),
            "*/*" => MediaType::Any,
            _ => MediaType::Other(text.trim().to_ascii_lowercase()),
        }
    }

    /// The `Content-Type` of an answer.
    pub(crate) fn content_type(&self) -> String {
        match self {
            MediaType::OctetStream | MediaType::Other(_) => self.to_string(),
            _ => format!("{self}; charset=utf-8"),
        }
    }

    /// Whether it is one row.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self, MediaType::Object { .. })
    }

    /// What is to be explained instead of done, if it is that.
    pub(crate) fn explain(&self) -> Option<&Explain> {
        match self {
            MediaType::Plan(explain) => Some(explain),
            _ => None,
        }
    }
}

fn explain(text: &str, json: bool) -> MediaType {
    // `for` names a type without parameters of its own beside those in its quotes
    let of = match parameter(text, "for").map(MediaType::parse) {
        None | Some(MediaType::Plan(_)) => MediaType::Json,
        Some(of) => of,
    };
    let named: Vec<&str> = parameter(text, "options").unwrap_or_default().split('|').collect();
    let options = ExplainOption::ALL.into_iter().filter(|option| named.contains(&option.name())).collect();
    MediaType::Plan(Box::new(Explain { of, json, options }))
}

/// The value of a parameter, without its quotes.
fn parameter<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = text.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if name.trim_matches([' ', ';']).eq_ignore_ascii_case(wanted) {
            return Some(value.trim());
        }
        rest = next;
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaType::Json => "application/json",
            MediaType::GeoJson => "application/geo+json",
            MediaType::Csv => "text/csv",
            MediaType::Lines => "application/x-ndjson",
            MediaType::Text => "text/plain",
            MediaType::Xml => "text/xml",
            MediaType::OctetStream => "application/octet-stream",
            MediaType::UrlEncoded => "application/x-www-form-urlencoded",
            MediaType::OpenApi { modern: false } => "application/openapi+json",
            MediaType::OpenApi { modern: true } => "application/openapi+json;version=3.1",
            MediaType::Any => "*/*",
            MediaType::StrippedArray => "application/vnd.pgrst.array+json;nulls=stripped",
            MediaType::Object { stripped: true } => "application/vnd.pgrst.object+json;nulls=stripped",
            MediaType::Object { stripped: false } => "application/vnd.pgrst.object+json",
            MediaType::Plan(explain) => return explain.fmt(f),
            MediaType::Other(name) => name,
        })
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.json { "json" } else { "text" };
        write!(f, "application/vnd.pgrst.plan+{form}; for=\"{}\"", self.of)?;
        for (index, option) in self.options.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "; options=" } else { "|" }, option.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_types_have_short_names_and_parameters() {
        assert_eq!(MediaType::parse("application/vnd.pgrst.object"), MediaType::Object { stripped: false });
        assert_eq!(
            MediaType::parse("ApplicatIon/vnd.PgRsT.object+json; nulls=stripped"),
            MediaType::Object { stripped: true }
        );
        assert_eq!(
            MediaType::parse("application/vnd.pgrst.array+json;nulls=stripped"),
            MediaType::StrippedArray
        );
        assert_eq!(MediaType::parse("application/vnd.pgrst.array+json"), MediaType::Json);
        assert_eq!(MediaType::parse("image/PNG"), MediaType::Other("image/png".to_owned()));
    }

    #[test]
    fn the_description_has_two_versions() {
        for (text, modern) in [
            ("application/openapi+json", false),
            ("application/openapi+json; version=2.0", false),
            ("application/openapi+json;version=3.1", true),
            ("application/vnd.oai.openapi+json; version=\"3.1.0\"", true),
        ] {
            assert_eq!(MediaType::parse(text), MediaType::OpenApi { modern }, "{text}");
        }
    }

    #[test]
    fn a_plan_is_of_another_type_and_has_options() {
        let plan = |of, json, options: &[ExplainOption]| {
            MediaType::Plan(Box::new(Explain { of, json, options: options.to_vec() }))
        };
        for (text, expected) in [
            ("application/vnd.pgrst.plan", plan(MediaType::Json, false, &[])),
            ("application/vnd.pgrst.plan;", plan(MediaType::Json, false, &[])),
            ("application/vnd.pgrst.plan+json;for=\"text/csv\"", plan(MediaType::Csv, true, &[])),
            (
                "application/vnd.pgrst.plan ; for=\"application/vnd.pgrst.object+json;nulls=stripped\" ; options=wal|analyze|x",
                plan(
                    MediaType::Object { stripped: true },
                    false,
                    &[ExplainOption::Analyze, ExplainOption::Wal],
                ),
            ),
            (
                "application/vnd.pgrst.plan+json; for=\"application/vnd.pgrst.plan\"; options=buffers;",
                plan(MediaType::Json, true, &[ExplainOption::Buffers]),
            ),
            ("application/vnd.pgrst.plan; for=\"text/csv", plan(MediaType::Json, false, &[])),
        ] {
            assert_eq!(MediaType::parse(text), expected, "{text}");
        }
        assert_eq!(
            plan(MediaType::Csv, true, &[ExplainOption::Verbose, ExplainOption::Settings]).to_string(),
            "application/vnd.pgrst.plan+json; for=\"text/csv\"; options=verbose|settings"
        );
    }

    #[test]
    fn only_text_has_a_charset() {
        assert_eq!(MediaType::Json.content_type(), "application/json; charset=utf-8");
        assert_eq!(MediaType::OctetStream.content_type(), "application/octet-stream");
    }
}
