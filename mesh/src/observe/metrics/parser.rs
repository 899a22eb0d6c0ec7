//! A strict reader of OpenMetrics text, for tests: it refuses what Prometheus would.
//!
//! Source: OpenMetrics 1.0, §"Text format" and §"Metric types".

use std::collections::{BTreeMap, BTreeSet};

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    /// Family → its type.
    families: BTreeMap<String, String>,
    /// A series as it is written, without its value → its value.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    pub(super) fn has(&self, family: &str) -> bool {
        self.families.contains_key(family)
    }

    pub(super) fn value(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    pub(super) fn series(&self, name: &str) -> usize {
        self.samples.keys().filter(|series| series.split('{').next() == Some(name)).count()
    }
}

/// Reads the whole text, or says what is wrong with which line.
pub(super) fn parse(text: &str) -> Result<Exposition, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the text does not end with # EOF")?;
    let mut read = Exposition::default();
    let mut current: Option<(String, String)> = None;
    let mut helped = BTreeSet::new();
    for line in body.lines() {
        let wrong = |what: &str| format!("{what}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if help.is_empty() || !helped.insert(name.to_owned()) {
                return Err(wrong("empty or second help"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            let known = ["counter", "gauge", "histogram"].contains(&kind);
            if !known || !is_name(name) || !helped.contains(name) {
                return Err(wrong("bad type"));
            }
            if read.families.insert(name.to_owned(), kind.to_owned()).is_some() {
                return Err(wrong("second family of one name"));
            }
            current = Some((name.to_owned(), kind.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').ok_or_else(|| wrong("no unit"))?;
            if !name.ends_with(&format!("_{unit}")) {
                return Err(wrong("the name does not end with its unit"));
            }
        } else {
            let (family, kind) = current.as_ref().ok_or_else(|| wrong("a sample before its family"))?;
            let (series, value) = sample(line, family, kind).map_err(|what| wrong(&what))?;
            if read.samples.insert(series, value).is_some() {
                return Err(wrong("a series twice"));
            }
        }
    }
    histograms_add_up(&read)?;
    Ok(read)
}

fn sample(line: &str, family: &str, kind: &str) -> Result<(String, f64), String> {
    let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
    let value: f64 = value.parse().map_err(|_| "the value is no number")?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').ok_or("the labels do not end")?),
        None => (series, ""),
    };
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    if !suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(family)) {
        return Err(format!("a {kind} {family} has no sample {name}"));
    }
    if kind != "gauge" && !(value.is_finite() && value >= 0.0) {
        return Err("a counter cannot be negative".to_owned());
    }
    let names = label_names(labels)?;
    if name.ends_with("_bucket") != names.contains("le") {
        return Err("le belongs to buckets, and to them alone".to_owned());
    }
    Ok((series.to_owned(), value))
}

/// The names of `a="x",b="y"`, with every value well escaped.
fn label_names(mut text: &str) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || !names.insert(name.to_owned()) {
            return Err(format!("bad or second label {name}"));
        }
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without an end")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, '\\' | '"' | 'n')) => {}
                    _ => return Err("a bad escape".to_owned()),
                },
                _ => {}
            }
        };
        text = &rest[end + 1..];
        text = match text.strip_prefix(',') {
            Some("") => return Err("a comma without a label".to_owned()),
            Some(more) => more,
            None if text.is_empty() => text,
            None => return Err("no comma between labels".to_owned()),
        };
    }
    Ok(names)
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(good) && name.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Buckets grow, and the last one is the count.
fn histograms_add_up(read: &Exposition) -> Result<(), String> {
    for (family, _) in read.families.iter().filter(|(_, kind)| *kind == "histogram") {
        let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        let prefix = format!("{family}_bucket{{le=\"");
        for (series, value) in &read.samples {
            let Some((bound, rest)) = series.strip_prefix(&prefix).and_then(|rest| rest.split_once('"'))
            else {
                continue;
            };
            let bound = bound.parse().map_err(|_| format!("{series} has no bound"))?;
            buckets.entry(rest.trim_start_matches(',').to_owned()).or_default().push((bound, *value));
        }
        for (labels, mut buckets) in buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let count = read.value(&format!("{family}_count{{{labels}"));
            let grows = buckets.is_sorted_by(|a, b| a.1 <= b.1);
            if !grows
                || buckets.last().map(|last| last.0) != Some(f64::INFINITY)
                || buckets.last().map(|l| l.1) != count
            {
                return Err(format!("the buckets of {family}{{{labels} do not add up to {count:?}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_refuses_is_refused() {
        let good = "# HELP a A.\n# TYPE a counter\na_total{x=\"1\"} 1\n# EOF\n";
        assert_eq!(parse(good).unwrap().value("a_total{x=\"1\"}"), Some(1.0));
        for (part, bad) in [
            ("# EOF\n", ""),
            ("a_total", "a"),
            ("x=\"1\"", "x=\"1"),
            ("x=\"1\"", "x=\"\\x\""),
            ("x=\"1\"", "x=\"1\",x=\"2\""),
            ("x=\"1\"", "1x=\"1\""),
            ("} 1", "} -1"),
            ("# TYPE a counter", "# TYPE a thing"),
            ("# EOF", "a_total{x=\"1\"} 2\n# EOF"),
        ] {
            assert!(parse(&good.replacen(part, bad, 1)).is_err(), "{part} -> {bad}");
        }
    }
}
