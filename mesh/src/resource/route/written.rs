//! A route as people write it.

use std::time::Duration;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Edit, Fallback, Fault, Hedge, Kind, Match, Mirror, Redirect, Retry, Rewrite, Route, Split};

/// The kinds of routes, and the times that each needs.
const KINDS: [(&str, &[&str]); 4] = [
    ("unary", &["deadline_ms"]),
    ("stream", &["response_ms", "idle_ms"]),
    ("upgrade", &["response_ms", "idle_ms", "life_ms"]),
    ("tcp", &["idle_ms"]),
];

/// A part of a service's requests: which, of what kind and within what times, and what is done with them.
// the kind and its times stand beside everything else, and `path` is the short form of a match
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Route", transform = as_parsed)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    /// What it is called in metrics and events; its path otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The beginning of the path: short for a `match` with a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The requests that it is for; every one if absent.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matches: Option<Match>,
    /// What the exchange looks like in time: `unary`, `stream`, `upgrade` or `tcp`. It says which times are needed.
    kind: String,
    /// `unary`: from the request's arrival to the last byte of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    /// `stream`, `upgrade`: from the end of the request to the head of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_ms: Option<u64>,
    /// `stream`, `upgrade`, `tcp`: the longest time without a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_ms: Option<u64>,
    /// `upgrade`: the longest life.
    #[serde(skip_serializing_if = "Option::is_none")]
    life_ms: Option<u64>,
    /// Whether every request may be sent twice; otherwise its method says so (RFC 9110 §9.2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotent: Option<bool>,
    /// `stream`: whether it lasts for as long as somebody listens: no work that an autoscaler is told of.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    watch: bool,
    /// What is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    /// A second attempt beside a slow first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    hedge: Option<Hedge>,
    /// Several services in the place of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    /// A copy to another service, whose answer nobody waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<Mirror>,
    /// An answer that sends the caller elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<Redirect>,
    /// Another path or host for the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrite: Option<Rewrite>,
    /// Changes to the request's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<Edit>,
    /// Changes to the answer's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Edit>,
    /// Trouble on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    /// What to answer when the service cannot, tried in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fallback: Vec<Fallback>,
}

impl Written {
    /// The kind with exactly the times that it needs.
    fn kind(&self) -> Result<Kind, String> {
        if self.kind.is_empty() {
            return Err("a route needs a kind: unary, stream, upgrade or tcp".to_owned());
        }
        let Some((_, needs)) = KINDS.iter().find(|(kind, _)| *kind == self.kind) else {
            return Err(format!("{} is no kind of route: unary, stream, upgrade or tcp", self.kind));
        };
        let time = |name: &str, given: Option<u64>| match (given, needs.contains(&name)) {
            (None, true) => Err(format!("a route of kind {} needs {name}", self.kind)),
            (Some(_), false) => Err(format!("a route of kind {} has no {name}", self.kind)),
            (given, _) => Ok(Duration::from_millis(given.unwrap_or_default())),
        };
        let deadline = time("deadline_ms", self.deadline_ms)?;
        let response = time("response_ms", self.response_ms)?;
        let idle = time("idle_ms", self.idle_ms)?;
        let life = time("life_ms", self.life_ms)?;
        Ok(match self.kind.as_str() {
            "unary" => Kind::Unary { deadline },
            "stream" => Kind::Stream { response, idle },
            "upgrade" => Kind::Upgrade { response, idle, life },
            _ => Kind::Tcp { idle },
        })
    }
}

/// What [`Route`]'s parser refuses beyond types: the times that a kind needs and those that it lacks, two ways to match.
fn as_parsed(schema: &mut Schema) {
    let all = ["deadline_ms", "response_ms", "idle_ms", "life_ms"];
    let kinds = KINDS.map(|(kind, needs)| {
        let lacks = all.iter().filter(|time| !needs.contains(time)).map(|time| ((*time).to_owned(), json!(false)));
        let lacks: serde_json::Map<_, _> = lacks.collect();
        json!({ "if": { "properties": { "kind": { "const": kind } } }, "then": { "required": needs, "properties": lacks } })
    });
    let object = schema.ensure_object();
    let description = object["properties"]["kind"]["description"].take();
    object["properties"]["kind"] = json!({ "enum": KINDS.map(|(kind, _)| kind), "description": description });
    object.insert("required".to_owned(), json!(["kind"]));
    object.insert("not".to_owned(), json!({ "required": ["path", "match"] }));
    object.insert("allOf".to_owned(), json!(kinds));
}

impl TryFrom<Written> for Route {
    type Error = String;
    fn try_from(written: Written) -> Result<Route, String> {
        let kind = written.kind()?;
        let matches = match (written.path, written.matches) {
            (Some(_), Some(_)) => return Err("a route has either path or match".to_owned()),
            (Some(prefix), None) => Match { prefix: Some(prefix), ..Match::default() },
            (None, matches) => matches.unwrap_or_default(),
        };
        Ok(Route {
            name: written.name.unwrap_or_else(|| matches.to_string()),
            matches,
            kind,
            idempotent: written.idempotent,
            watch: written.watch,
            retry: written.retry.unwrap_or_default(),
            hedge: written.hedge,
            split: written.split,
            mirror: written.mirror,
            redirect: written.redirect,
            rewrite: written.rewrite,
            request_headers: written.request_headers.unwrap_or_default(),
            response_headers: written.response_headers.unwrap_or_default(),
            fault: written.fault,
            fallback: written.fallback,
        })
    }
}

impl From<Route> for Written {
    fn from(route: Route) -> Written {
        let time = |wanted: &str| {
            let (_, time) = route.kind.times().into_iter().find(|(name, _)| *name == wanted)?;
            u64::try_from(time.as_millis()).ok()
        };
        Written {
            name: Some(route.name),
            path: None,
            matches: Some(route.matches),
            kind: route.kind.name().to_owned(),
            deadline_ms: time("deadline_ms"),
            response_ms: time("response_ms"),
            idle_ms: time("idle_ms"),
            life_ms: time("life_ms"),
            idempotent: route.idempotent,
            watch: route.watch,
            retry: Some(route.retry),
            hedge: route.hedge,
            split: route.split,
            mirror: route.mirror,
            redirect: route.redirect,
            rewrite: route.rewrite,
            request_headers: Some(route.request_headers).filter(|edit| *edit != Edit::default()),
            response_headers: Some(route.response_headers).filter(|edit| *edit != Edit::default()),
            fault: route.fault,
            fallback: route.fallback,
        }
    }
}
