//! A route as people write it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Edit, Fallback, Fault, Hedge, Kind, Match, Mirror, Redirect, Retry, Rewrite, Route, Split};

/// A route as it is written: the kind and its times beside everything else, `path` as the short form of a match.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matches: Option<Match>,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    life_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hedge: Option<Hedge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<Mirror>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<Redirect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrite: Option<Rewrite>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<Edit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Edit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fallback: Vec<Fallback>,
}

impl Written {
    /// The kind with exactly the times that it needs.
    fn kind(&self) -> Result<Kind, String> {
        let needs: &[&str] = match self.kind.as_str() {
            "unary" => &["deadline_ms"],
            "stream" => &["response_ms", "idle_ms"],
            "upgrade" => &["response_ms", "idle_ms", "life_ms"],
            "tcp" => &["idle_ms"],
            "" => return Err("a route needs a kind: unary, stream, upgrade or tcp".to_owned()),
            other => return Err(format!("{other} is no kind of route: unary, stream, upgrade or tcp")),
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
