//! Answers of the control plane for people.

use serde_json::Value;

/// Lines of columns, each as wide as its widest word.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|word| (*word).to_owned()).collect()] }
    }

    fn row(&mut self, words: impl IntoIterator<Item = String>) {
        self.rows.push(words.into_iter().collect());
    }

    fn text(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let wide =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let line = |row: &Vec<String>| {
            let words = row.iter().zip(&widths).map(|(word, width)| format!("{word:width$}"));
            words.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// A value as one word.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// The beginning of an id.
pub(super) fn short(value: &Value) -> String {
    word(value).chars().take(8).collect()
}

fn list<'a>(answer: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    answer[key].as_array().into_iter().flatten()
}

fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

fn is_wanted(name: &Value, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| name == wanted)
}

/// What would become of a request: a line for each step.
pub(super) fn explained(answer: &Value) -> String {
    let mut text = String::new();
    for step in list(answer, "steps") {
        text.push_str(&format!("{:<9} {}\n", word(&step["about"]), word(&step["says"])));
        if step["by"].as_object().is_some_and(|by| !by.is_empty()) || step["by"].is_array() {
            text.push_str(&format!("{:<9}   {}\n", "", step["by"]));
        }
    }
    for endpoint in list(answer, "endpoints") {
        text.push_str(&format!(
            "{:<9} {} at {}\n",
            "endpoint",
            word(&endpoint["service"]),
            word(&endpoint["address"])
        ));
    }
    let end = if answer["arrives"] == true { "it arrives" } else { "it does not arrive" };
    text + end + "\n"
}

pub(super) fn check(answer: &Value) -> String {
    let mut table = Table::new(&["SERVICE", "INSTANCE", "ADDRESS", "REVISION", "REJECTED"]);
    for proxy in list(answer, "proxies") {
        let rejected = proxy["rejected"].as_object().map_or(0, serde_json::Map::len);
        table.row([
            word(&proxy["service"]),
            short(&proxy["instance"]),
            word(&proxy["presence"]["address"]),
            word(&proxy["revision"]),
            rejected.to_string(),
        ]);
    }
    let replicas = list(answer, "replicas").count();
    let mut text = format!(
        "trust domain {}, revision {}, {replicas} replica(s) of the control plane\n\n{}",
        word(&answer["trust_domain"]),
        answer["revision"],
        table.text()
    );
    match list(answer, "problems").map(word).collect::<Vec<_>>() {
        problems if problems.is_empty() => text.push_str("\nall is well\n"),
        problems => problems.iter().for_each(|problem| text.push_str(&format!("\nproblem: {problem}\n"))),
    }
    text
}

pub(super) fn graph(answer: &Value) -> String {
    let mut table =
        Table::new(&["SOURCE", "DESTINATION", "SIDE", "REQ/S", "SUCCESS", "P50 MS", "P99 MS", "IDENTITY"]);
    let mut edges: std::collections::BTreeMap<[String; 3], (f64, f64, f64, f64, String)> = Default::default();
    for edge in list(answer, "edges") {
        let key = [word(&edge["source"]), word(&edge["destination"]), word(&edge["side"])];
        let rate = edge["requests_per_second"].as_f64().unwrap_or_default();
        let sum = edges.entry(key).or_default();
        sum.1 += edge["success"].as_f64().unwrap_or_default() * rate;
        sum.0 += rate;
        sum.2 = sum.2.max(edge["p50_ms"].as_f64().unwrap_or_default());
        sum.3 = sum.3.max(edge["p99_ms"].as_f64().unwrap_or_default());
        sum.4 = word(&edge["source_identity"]);
    }
    for ([source, destination, side], (rate, good, p50, p99, identity)) in edges {
        let success = if rate > 0.0 { good / rate } else { 1.0 };
        table.row([
            source,
            destination,
            side,
            format!("{rate:.1}"),
            format!("{:.2} %", success * 100.0),
            format!("{p50:.0}"),
            format!("{p99:.0}"),
            identity,
        ]);
    }
    table.text()
}

pub(super) fn top(answer: &Value) -> String {
    let mut edges: Vec<&Value> = list(answer, "edges").filter(|edge| edge["side"] == "outbound").collect();
    edges.sort_by(|a, b| {
        b["requests_per_second"]
            .as_f64()
            .partial_cmp(&a["requests_per_second"].as_f64())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut table = Table::new(&["SOURCE", "DESTINATION", "ROUTE", "REQ/S", "SUCCESS", "P50 MS", "P99 MS"]);
    for edge in edges.into_iter().take(30) {
        table.row([
            word(&edge["source"]),
            word(&edge["destination"]),
            word(&edge["route"]),
            number(&edge["requests_per_second"], 1),
            format!("{:.2} %", edge["success"].as_f64().unwrap_or(1.0) * 100.0),
            number(&edge["p50_ms"], 0),
            number(&edge["p99_ms"], 0),
        ]);
    }
    table.text()
}

pub(super) fn routes(answer: &Value, wanted: Option<&str>) -> String {
    let mut table = Table::new(&["SERVICE", "ROUTE", "KIND", "MATCH", "MORE"]);
    let extras = ["split", "mirror", "redirect", "rewrite", "fault", "fallback", "hedge"];
    for (name, service) in answer["mesh"]["services"].as_object().into_iter().flatten() {
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        for route in list(service, "routes") {
            let more: Vec<&str> = extras.into_iter().filter(|extra| !route[*extra].is_null()).collect();
            let matches = if route["match"].is_null() { "*".to_owned() } else { route["match"].to_string() };
            table.row([name.clone(), word(&route["name"]), word(&route["kind"]), matches, more.join(" ")]);
        }
    }
    table.text()
}

pub(super) fn policies(answer: &Value, wanted: Option<&str>) -> String {
    let mut table = Table::new(&["SERVICE", "CALLER", "MAY"]);
    for (name, service) in answer["mesh"]["services"].as_object().into_iter().flatten() {
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        list(service, "callers")
            .for_each(|caller| table.row([name.clone(), word(caller), "everything".to_owned()]));
        for policy in list(service, "policies") {
            for caller in list(policy, "from") {
                table.row([name.clone(), word(caller), policy["match"].to_string()]);
            }
        }
    }
    table.text()
}

pub(super) fn endpoints(answer: &Value, wanted: Option<&str>) -> String {
    let mut table = Table::new(&["SERVICE", "INSTANCE", "ADDRESS", "ZONE", "WEIGHT"]);
    for one in list(answer, "endpoints").filter(|one| is_wanted(&one["service"], wanted)) {
        table.row([
            word(&one["service"]),
            short(&one["instance"]),
            word(&one["address"]),
            word(&one["zone"]),
            word(&one["weight"]),
        ]);
    }
    table.text()
}

pub(super) fn demand(answer: &Value) -> String {
    let mut table = Table::new(&["SERVICE", "INSTANCES", "RUNNING", "WAITING"]);
    for (service, demand) in answer.as_object().into_iter().flatten() {
        table.row([
            service.clone(),
            word(&demand["instances"]),
            word(&demand["running"]),
            word(&demand["waiting"]),
        ]);
    }
    table.text()
}

/// What came (`+`), went (`-`) and changed (`~`).
pub(super) fn applied(answer: &Value) -> String {
    let mut text = String::new();
    for change in list(answer, "changes") {
        let sign = match (change["from"].is_null(), change["to"].is_null()) {
            (true, _) => '+',
            (_, true) => '-',
            _ => '~',
        };
        text.push_str(&format!("{sign} {}\n", word(&change["document"])));
    }
    if text.is_empty() {
        text.push_str("nothing changes\n");
    }
    text + &format!("revision {}\n", answer["revision"])
}

pub(super) fn history(answer: &Value) -> String {
    let mut table = Table::new(&["REVISION", "APPLIED AT", "AUTHOR", "REASON"]);
    for one in list(answer, "revisions") {
        table.row([word(&one["id"]), word(&one["applied_at"]), word(&one["author"]), word(&one["reason"])]);
    }
    table.text()
}

pub(super) fn tokens(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "IDENTITY", "CREATED AT", "REVOKED AT"]);
    for one in list(answer, "tokens") {
        table.row([
            word(&one["id"]),
            word(&one["identity"]),
            word(&one["created_at"]),
            word(&one["revoked_at"]),
        ]);
    }
    table.text()
}

pub(super) fn roots(answer: &Value) -> String {
    let mut table = Table::new(&["ROOT", "SIGNS"]);
    list(answer, "roots").for_each(|root| table.row([word(&root["id"]), word(&root["signs"])]));
    format!("trust domain {}\n\n{}", word(&answer["trust_domain"]), table.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let answer = json!({ "endpoints": [
            { "service": "data", "instance": "0123456789", "address": "10.0.0.1:9443", "zone": null, "weight": 1 },
            { "service": "a", "instance": "x", "address": "b", "zone": "z", "weight": 10 },
        ] });

        assert_eq!(
            endpoints(&answer, None),
            "SERVICE  INSTANCE  ADDRESS        ZONE  WEIGHT\n\
             data     01234567  10.0.0.1:9443  -     1\n\
             a        x         b              z     10\n"
        );
        assert_eq!(endpoints(&answer, Some("a")).lines().count(), 2);
    }

    #[test]
    fn a_change_has_its_sign() {
        let change =
            |document: &str, from: Value, to: Value| json!({ "document": document, "from": from, "to": to });
        let changes = [
            change("A/new", Value::Null, json!({})),
            change("B/gone", json!({}), Value::Null),
            change("C/other", json!({ "a": 1 }), json!({ "a": 2 })),
        ];

        let text = applied(&json!({ "revision": 7, "changes": changes }));

        assert_eq!(text, "+ A/new\n- B/gone\n~ C/other\nrevision 7\n");
    }
}
