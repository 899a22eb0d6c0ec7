//! What every crate's configuration needs: a suggestion for a key that does not exist.

/// The known key nearest to `unknown`, if one is near enough to be what was meant.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|key| (strsim::jaro_winkler(unknown, key), key))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_gets_a_suggestion_and_nonsense_none() {
        assert_eq!(nearest("site_ulr", ["site_url", "port"]), Some("site_url"));
        assert_eq!(nearest("zzz", ["site_url", "port"]), None);
    }
}
