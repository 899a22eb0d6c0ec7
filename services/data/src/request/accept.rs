//! What the caller sends (`Content-Type`) and what it takes (`Accept`, RFC 9110 §12.5.1).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::media::MediaType;

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
}
