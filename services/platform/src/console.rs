//! The console: pages for whoever runs the installation, on a listener of their own (loopback, guarded by a token).
//!
//! Today it holds the inbox. It is never on the gateway's origin, so that no script of an app can reach it.

use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use axum::{Json, Router};
use base::error::UNAUTHORIZED;
use base::header::CONSOLE_COOKIE;
use base::{Response, Result, Secret};
use common::project::ProjectRef;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::Platform;
use crate::models::inbox::Mail;

/// Mails are shown in a frame without scripts or origin; nothing is loaded from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-src 'self'; \
     form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Clone)]
struct Console {
    platform: Platform,
    token: Secret,
}

/// The console's routes. Every one needs `token`: as a bearer, as `?token=` (kept as a cookie), or as that cookie.
pub fn router(platform: Platform, token: Secret) -> Router {
    let console = Console { platform, token };
    Router::new()
        .route("/", get(inbox_page))
        .route("/api/inbox", get(inbox))
        .layer(from_fn_with_state(console.clone(), guard))
        .with_state(console)
}

#[derive(Deserialize)]
struct Login {
    token: Option<String>,
}

async fn guard(
    State(console): State<Console>,
    Query(login): Query<Login>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(token) = login.token {
        return log_in(&console, &token, request.uri().path());
    }
    if !presented(request.headers()).is_some_and(|token| console.token.matches(token)) {
        return (UNAUTHORIZED.status(), "open the console_url that `meshbase status` prints\n")
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Moves the token from the address into a cookie, so that it is not in the history.
fn log_in(console: &Console, token: &str, path: &str) -> Response {
    if !console.token.matches(token) {
        return (UNAUTHORIZED.status(), "this token is not the console's\n").into_response();
    }
    let cookie = format!("{CONSOLE_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/");
    ([(SET_COOKIE, cookie)], Redirect::to(path)).into_response()
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer =
        headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    bearer.or_else(|| {
        let cookies = headers.get(COOKIE)?.to_str().ok()?;
        cookies.split(';').find_map(|pair| pair.trim().strip_prefix(CONSOLE_COOKIE)?.strip_prefix('='))
    })
}

#[derive(Deserialize)]
struct Which {
    project: Option<ProjectRef>,
    to: Option<String>,
}

/// `GET /api/inbox?project=default&to=ann@example.com`: the newest 100 mails, newest first.
async fn inbox(State(console): State<Console>, Query(which): Query<Which>) -> Result<Json<Vec<Mail>>> {
    let project = which.project.unwrap_or_else(ProjectRef::default_project);
    console.platform.mails(&project, which.to.as_deref()).await.map(Json)
}

async fn inbox_page(State(console): State<Console>, Query(which): Query<Which>) -> Result<Html<String>> {
    let project = which.project.unwrap_or_else(ProjectRef::default_project);
    let mails = console.platform.mails(&project, which.to.as_deref()).await?;
    let projects = console.platform.list().await?;
    let links: String = projects
        .iter()
        .map(|p| {
            let current = if p.reference == project { " aria-current=page" } else { "" };
            format!("<a href=\"/?project={0}\"{current}>{0}</a>", p.reference)
        })
        .collect();
    let list: String = mails.iter().map(mail).collect();
    let list = if list.is_empty() { "<p class=empty>No mail yet.</p>".to_owned() } else { list };
    Ok(Html(format!(include_str!("console.html"), links = links, project = project, mails = list)))
}

fn mail(mail: &Mail) -> String {
    let at = mail.received_at.replace_nanosecond(0).unwrap_or(mail.received_at);
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    format!(
        "<details><summary><b>{}</b> <span>{}</span> <time>{at}</time></summary>\
         <iframe sandbox=\"allow-popups allow-popups-to-escape-sandbox\" title=\"{}\" srcdoc=\"{}\"></iframe></details>",
        escape(&mail.subject),
        escape(&mail.to),
        escape(&mail.subject),
        // links leave the frame: a mail is read where it cannot run anything, its link is opened outside
        escape(&format!("<base target=_blank>{}", mail.html)),
    )
}

/// Text for HTML and for a quoted attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
