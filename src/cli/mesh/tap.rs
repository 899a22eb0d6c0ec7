//! `meshbase mesh tap`: requests and events as proxies see them, until interrupted.

use std::io::{self, Write};
use std::path::Path;

use mesh::resource::Listen;
use mesh::steer::LineBuffer;
use serde_json::Value;

use super::table::word;
use crate::local_http;

/// Longest line, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// Which events.
#[derive(clap::Args, Debug)]
pub(super) struct Tap {
    /// Calls to this service.
    service: Option<String>,
    /// Calls by this service.
    #[arg(long, value_name = "SERVICE")]
    source: Option<String>,
    /// By this route.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// With this method.
    #[arg(long)]
    method: Option<String>,
    /// Answered with this status, `404` or `5xx`.
    #[arg(long)]
    status: Option<String>,
    /// Whose path begins so.
    #[arg(long, value_name = "PREFIX")]
    path: Option<String>,
    /// Of this project.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only what went wrong.
    #[arg(long)]
    failures: bool,
    /// This part of it.
    #[arg(long, value_name = "PERCENT")]
    percent: Option<f64>,
}

impl Tap {
    /// Prints lines until it is interrupted or the control plane ends.
    pub(super) async fn run(&self, admin: &Path, json: bool) -> io::Result<()> {
        let admin = Listen::Unix(admin.to_owned());
        let mut lines = LineBuffer::up_to(MAX_LINE);
        let print = |bytes: &[u8]| {
            lines.add(bytes);
            let mut out = io::stdout().lock();
            while let Ok(Some(line)) = lines.take() {
                let line = String::from_utf8_lossy(&line);
                let shown = if json { line.into_owned() } else { text(&line) };
                let _ = writeln!(out, "{shown}");
            }
            let _ = out.flush();
        };
        local_http::follow(&admin, &format!("/tap?{}", self.query()), print).await
    }

    fn query(&self) -> String {
        let percent = self.percent.map(|percent| percent.to_string());
        let wanted = [
            ("service", &self.service),
            ("source", &self.source),
            ("route", &self.route),
            ("method", &self.method),
            ("status", &self.status),
            ("path", &self.path),
            ("project", &self.project),
            ("percent", &percent),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(wanted.iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        if self.failures {
            query.append_pair("failures", "true");
        }
        query.finish()
    }
}

/// A line for people: requests in a form of their own, everything else as it is.
fn text(line: &str) -> String {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    match event["event"].as_str() {
        Some("looking") => {
            let elsewhere = match event["elsewhere"].as_u64().unwrap_or_default() {
                0 => String::new(),
                some => format!("; {some} more follow another replica: run this there too"),
            };
            format!("# {} proxies are asked{elsewhere}", event["proxies"])
        }
        Some("ended") => format!(
            "{:<8} {} > {}  {} {}  {}  {} ms{}",
            word(&event["side"]),
            word(&event["source"]),
            word(&event["destination"]),
            word(&event["method"]),
            word(&event["path"]),
            word(&event["status"]),
            word(&event["total_ms"]),
            event["cause"].as_str().map(|cause| format!("  {cause}")).unwrap_or_default(),
        ),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let event = r#"{"event":"ended","side":"outbound","source":"web","destination":"echo","method":"GET",
            "path":"/a","status":503,"total_ms":1.5,"cause":"unreachable"}"#;

        assert_eq!(text(event), "outbound web > echo  GET /a  503  1.5 ms  unreachable");
        assert_eq!(text("{\"event\":\"looking\",\"proxies\":2,\"elsewhere\":0}"), "# 2 proxies are asked");
    }
}
