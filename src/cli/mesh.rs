//! `meshbase mesh`: what an operator asks of the control plane, and tells it.

mod table;
mod tap;

use std::path::PathBuf;
use std::time::Duration;

use base::error::{BAD_REQUEST, OrInternal, UNAVAILABLE};
use base::{Error, Result};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use crate::local_http;

/// Looks at the mesh and steers it, through a replica of the control plane on this machine.
#[derive(Args, Debug)]
pub struct MeshCommand {
    /// The control plane's socket.
    #[arg(
        long,
        global = true,
        env = "MESHBASE_CONTROL_ADMIN",
        default_value = "/run/meshbase/control.sock",
        value_name = "PATH"
    )]
    admin: PathBuf,
    /// How answers look.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Say whether every proxy has what it should have; the exit code says it too.
    Check,
    /// The service graph: who calls whom, how often, how well.
    Graph,
    /// The routes that are called most.
    Top,
    /// The routes of each service.
    Routes {
        /// Only this service.
        service: Option<String>,
    },
    /// Where services are.
    Endpoints {
        /// Only this service.
        service: Option<String>,
    },
    /// Who may call whom.
    Policies {
        /// Only this service.
        service: Option<String>,
    },
    /// What is under way and what waits, by service.
    Demand,
    /// Show requests and events live, as proxies see them.
    Tap(tap::Tap),
    /// Say what would become of a request, step by step.
    Explain {
        /// The service that makes it.
        #[arg(long, value_name = "SERVICE")]
        from: String,
        /// Its method.
        #[arg(short = 'X', long, default_value = "GET")]
        method: String,
        /// A header, `name: value`.
        #[arg(short = 'H', long, value_name = "HEADER")]
        header: Vec<String>,
        /// Where to, such as `http://data.mesh/todos`.
        url: String,
    },
    /// Print the JSON Schema of documents.
    Schema {
        /// Of a whole mesh file instead, as `meshbase sidecar --config` reads it.
        #[arg(long)]
        file: bool,
    },
    /// Put documents in force: all of them, or none.
    Apply {
        /// YAML or JSON, `---` between documents; `-` for standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Take these away too, `Kind/name`.
        #[arg(long, value_name = "KIND/NAME")]
        remove: Vec<String>,
        /// Why, for the history.
        #[arg(long, default_value = "")]
        reason: String,
        /// Only if this revision is still the last one.
        #[arg(long, value_name = "REVISION")]
        base: Option<i64>,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// What applying a file would change.
    Diff {
        /// As for `apply`.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// The documents in force, or of another revision.
    Get {
        /// Another revision.
        #[arg(long)]
        revision: Option<i64>,
    },
    /// The last revisions.
    History,
    /// Put what a revision had in force again.
    Rollback {
        /// Which.
        revision: i64,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Tokens to join with.
    Token {
        /// What to do.
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// The roots of the trust domain.
    Ca {
        /// What to do.
        #[command(subcommand)]
        verb: CaVerb,
    },
    /// Have nobody talk to a service any more: its connections are cut.
    Deny {
        /// Which.
        service: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a service that was denied back in.
    Forgive {
        /// Which.
        service: String,
    },
}

#[derive(Subcommand, Debug)]
enum TokenVerb {
    /// Make one for a service. It is shown once.
    Make {
        /// The service.
        service: String,
    },
    /// List them, without what is secret.
    List,
    /// Take one back.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[derive(Subcommand, Debug)]
enum CaVerb {
    /// Show the roots that are trusted.
    Show,
    /// Begin to replace the root: the new one signs once every proxy has heard of it.
    Rotate,
}

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(30);

impl MeshCommand {
    pub(super) async fn run(self) -> Result<std::process::ExitCode> {
        if let Verb::Tap(tap) = &self.verb {
            tap.run(&self.admin, matches!(self.output, Output::Json))
                .await
                .map_err(|error| self.unreachable(error))?;
            return Ok(std::process::ExitCode::SUCCESS);
        }
        let answer = self.asked().await?;
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&answer).or_internal()?),
            Output::Text => print!("{}", self.text(&answer)),
        }
        let is_bad =
            matches!(self.verb, Verb::Check) && answer["problems"].as_array().is_some_and(|p| !p.is_empty());
        Ok(if is_bad { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS })
    }

    async fn asked(&self) -> Result<Value> {
        match &self.verb {
            Verb::Check => Ok(check(self.get("/status").await?)),
            Verb::Graph | Verb::Top => self.get("/edges").await,
            Verb::Routes { .. } | Verb::Policies { .. } => self.get("/mesh").await,
            Verb::Endpoints { .. } => self.get("/endpoints").await,
            Verb::Demand => self.get("/demand").await,
            Verb::Tap(_) => Ok(Value::Null),
            Verb::Schema { file: false } => Ok(control::resources::schema()),
            Verb::Schema { file: true } => Ok(control::resources::mesh_schema()),
            Verb::Explain { from, method, header, url } => {
                let headers = header.iter().map(|header| split_header(header)).collect::<Result<Vec<_>>>()?;
                let body = json!({ "from": from, "method": method, "url": url, "headers": headers });
                self.send(Method::POST, "/explain", Some(body)).await
            }
            Verb::Apply { file, remove, reason, base, dry_run } => {
                self.apply(
                    file,
                    json!({ "remove": remove, "reason": reason, "base": base, "dry_run": dry_run }),
                )
                .await
            }
            Verb::Diff { file } => self.apply(file, json!({ "dry_run": true })).await,
            Verb::Get { revision: None } => self.get("/resources").await,
            Verb::Get { revision: Some(revision) } => {
                self.get(&format!("/resources?revision={revision}")).await
            }
            Verb::History => self.get("/history").await,
            Verb::Rollback { revision, dry_run } => {
                let body = json!({ "revision": revision, "author": author(), "dry_run": dry_run });
                self.send(Method::POST, "/rollback", Some(body)).await
            }
            Verb::Token { verb: TokenVerb::Make { service } } => {
                self.send(Method::POST, "/tokens", Some(json!({ "service": service }))).await
            }
            Verb::Token { verb: TokenVerb::List } => self.get("/tokens").await,
            Verb::Token { verb: TokenVerb::Revoke { id } } => {
                self.send(Method::DELETE, &format!("/tokens/{id}"), None).await
            }
            Verb::Ca { verb: CaVerb::Show } => self.get("/ca").await,
            Verb::Ca { verb: CaVerb::Rotate } => self.send(Method::POST, "/ca/rotate", None).await,
            Verb::Deny { service, reason } => {
                let body = json!({ "service": service, "reason": reason });
                self.send(Method::POST, "/denied", Some(body)).await
            }
            Verb::Forgive { service } => {
                self.send(Method::DELETE, "/denied", Some(json!({ "service": service }))).await
            }
        }
    }

    async fn apply(&self, file: &PathBuf, mut body: Value) -> Result<Value> {
        let is_stdin = file.as_os_str() == "-";
        let text =
            if is_stdin { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
        let text =
            text.map_err(|error| BAD_REQUEST.error(format!("cannot read {}: {error}", file.display())))?;
        body["file"] = json!(file.display().to_string());
        body["text"] = json!(text);
        body["author"] = json!(author());
        self.send(Method::POST, "/apply", Some(body)).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let admin = mesh::resource::Listen::Unix(self.admin.clone());
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let sent = local_http::send_json(&admin, method, path, body);
        let answered = tokio::time::timeout(LIMIT, sent).await;
        let (status, body) = answered
            .map_err(|_| {
                UNAVAILABLE.error(format!("the control plane did not answer within {} s", LIMIT.as_secs()))
            })?
            .map_err(|error| self.unreachable(error))?;
        let answer: Value = serde_json::from_slice(&body).or_internal()?;
        match status.is_success() {
            true => Ok(answer),
            false => {
                let code = answer["code"].as_str().unwrap_or("refused").to_owned();
                let message = answer["message"].as_str().unwrap_or_default().to_owned();
                Err(base::Code::dynamic(status.as_u16(), code).error(message))
            }
        }
    }

    fn unreachable(&self, error: std::io::Error) -> Error {
        UNAVAILABLE
            .error(format!("no control plane answers on {}", self.admin.display()))
            .caused_by(error)
            .with_hint("run this where a replica runs, or give its socket with --admin")
    }

    fn text(&self, answer: &Value) -> String {
        match &self.verb {
            Verb::Check => table::check(answer),
            Verb::Graph => table::graph(answer),
            Verb::Top => table::top(answer),
            Verb::Routes { service } => table::routes(answer, service.as_deref()),
            Verb::Policies { service } => table::policies(answer, service.as_deref()),
            Verb::Endpoints { service } => table::endpoints(answer, service.as_deref()),
            Verb::Demand => table::demand(answer),
            Verb::Explain { .. } => table::explained(answer),
            Verb::Apply { .. } | Verb::Diff { .. } | Verb::Rollback { .. } => table::applied(answer),
            Verb::History => table::history(answer),
            Verb::Token { verb: TokenVerb::List } => table::tokens(answer),
            Verb::Token { verb: TokenVerb::Make { .. } } => {
                format!("{}\n", answer["token"].as_str().unwrap_or_default())
            }
            Verb::Ca { verb: CaVerb::Show } => table::roots(answer),
            _ => format!("{}\n", serde_json::to_string_pretty(answer).unwrap_or_default()),
        }
    }
}

fn split_header(header: &str) -> Result<(&str, &str)> {
    let parts = header.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    parts.ok_or_else(|| BAD_REQUEST.error(format!("{header:?} is not `name: value`")))
}

/// What of a status is not as it should be.
fn check(mut status: Value) -> Value {
    let revision = status["revision"].as_i64().unwrap_or_default();
    let mut problems = Vec::new();
    for proxy in status["proxies"].as_array().into_iter().flatten() {
        let name = format!("{} ({})", table::word(&proxy["service"]), table::short(&proxy["instance"]));
        let there = proxy["revision"].as_i64().unwrap_or_default();
        if there < revision {
            problems.push(format!("{name} has revision {there} in force, not {revision}"));
        }
        for (key, reason) in proxy["rejected"].as_object().into_iter().flatten() {
            problems.push(format!("{name} does not take {key}: {}", table::word(reason)));
        }
    }
    status["problems"] = json!(problems);
    status
}

/// Who applies, for the history.
fn author() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
