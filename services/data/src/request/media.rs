//! Media types: what the caller sends (`Content-Type`) and what it takes (`Accept`, RFC 9110 §12.5.1).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

/// A media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    GeoJson,
    Csv,
    Text,
    Xml,
    OctetStream,
    UrlEncoded,
    OpenApi,
    /// `*/*`.
    Any,
    /// An array of rows without their nulls.
    StrippedArray,
    /// One row, perhaps without its nulls.
    Object {
        stripped: bool,
    },
    /// One that we know nothing of.
    Other(String),
}

impl MediaType {
    /// Reads one media type with its parameters.
    pub(crate) fn parse(text: &str) -> MediaType {
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let stripped = parts.any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("nulls") && value.trim().trim_matches('"') == "stripped"
        });
        match essence.as_str() {
            "application/json" => MediaType::Json,
            "application/geo+json" => MediaType::GeoJson,
            "text/csv" => MediaType::Csv,
            "text/plain" => MediaType::Text,
            "text/xml" => MediaType::Xml,
            "application/octet-stream" => MediaType::OctetStream,
            "application/x-www-form-urlencoded" => MediaType::UrlEncoded,
            "application/openapi+json" => MediaType::OpenApi,
            "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object" => {
                MediaType::Object { stripped }
            }
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" if stripped => {
                MediaType::StrippedArray
            }
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" => MediaType::Json,
            "*/*" => MediaType::Any,
            _ => MediaType::Other(text.trim().to_owned()),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            MediaType::Json => "application/json",
            MediaType::GeoJson => "application/geo+json",
            MediaType::Csv => "text/csv",
            MediaType::Text => "text/plain",
            MediaType::Xml => "text/xml",
            MediaType::OctetStream => "application/octet-stream",
            MediaType::UrlEncoded => "application/x-www-form-urlencoded",
            MediaType::OpenApi => "application/openapi+json",
            MediaType::Any => "*/*",
            MediaType::StrippedArray => "application/vnd.pgrst.array+json;nulls=stripped",
            MediaType::Object { stripped: true } => "application/vnd.pgrst.object+json;nulls=stripped",
            MediaType::Object { stripped: false } => "application/vnd.pgrst.object+json",
            MediaType::Other(name) => name,
        }
    }

    /// The `Content-Type` of an answer.
    pub(crate) fn content_type(&self) -> String {
        match self {
            MediaType::OctetStream | MediaType::Other(_) => self.name().to_owned(),
            _ => format!("{}; charset=utf-8", self.name()),
        }
    }

    /// Whether it is one row.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self, MediaType::Object { .. })
    }
}

/// The media type of the body; JSON if none is named.
pub(crate) fn content_type(headers: &HeaderMap) -> MediaType {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.map_or(MediaType::Json, MediaType::parse)
}

/// The media types a caller takes, best first; everything if it names none.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<MediaType> {
    let Some(value) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return vec![MediaType::Any];
    };
    let mut ranked: Vec<(u32, &str)> = value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| (quality(entry), entry))
        .collect();
    // stable: among equals the caller's order holds
    ranked.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    if ranked.is_empty() {
        return vec![MediaType::Any];
    }
    ranked.into_iter().map(|(_, entry)| MediaType::parse(without_quality(entry))).collect()
}

/// `q` in thousandths.
fn quality(entry: &str) -> u32 {
    let q = entry.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    match q.map(|q| q.trim().parse::<f64>()) {
        Some(Ok(q)) if (0.0..=1.0).contains(&q) => (q * 1000.0) as u32,
        _ => 1000,
    }
}

fn without_quality(entry: &str) -> &str {
    entry.split_once(";q=").or_else(|| entry.split_once("; q=")).map_or(entry, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Vec<MediaType> {
        accepted(&HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]))
    }

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
        assert_eq!(MediaType::parse("image/png"), MediaType::Other("image/png".to_owned()));
    }

    #[test]
    fn the_best_comes_first() {
        assert_eq!(accept("text/csv;q=0.5, application/json"), [MediaType::Json, MediaType::Csv]);
        assert_eq!(
            accept("text/html,application/xml;q=0.9,*/*;q=0.8"),
            [
                MediaType::Other("text/html".to_owned()),
                MediaType::Other("application/xml".to_owned()),
                MediaType::Any
            ]
        );
        assert_eq!(accepted(&HeaderMap::new()), [MediaType::Any]);
    }

    #[test]
    fn only_text_has_a_charset() {
        assert_eq!(MediaType::Json.content_type(), "application/json; charset=utf-8");
        assert_eq!(MediaType::OctetStream.content_type(), "application/octet-stream");
    }
}
