//! Users, sessions and tokens, as clients and readers of mail meet them.

mod admin;
mod codes;
mod confirmation;
mod database;
mod limits;
mod links;
mod logout;
mod recovery;
mod refresh;
mod sign_in;
mod sign_up;
mod user;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Actor, App, PASSWORD, Reply};

/// The site that links lead to unless a project says otherwise.
const SITE: &str = "http://localhost:3000";

/// A new project with these settings.
async fn with_settings(settings: Value) -> App {
    let app = App::new().await;
    app.settings("auth", settings).await;
    app
}

/// A project in which addresses are confirmed by mail, and mail comes as often as asked for.
async fn confirming() -> App {
    with_settings(json!({"email": {"enable_confirmations": true, "max_frequency": "0s"}})).await
}

/// A project in which addresses count as confirmed, and mail comes as often as asked for.
async fn mailing() -> App {
    with_settings(json!({"email": {"max_frequency": "0s"}})).await
}

fn credentials(name: &str) -> Value {
    json!({"email": format!("{name}@example.com"), "password": PASSWORD})
}

async fn sign_up(app: &App, name: &str) -> Reply {
    app.anon().post("/auth/v1/signup").json(credentials(name)).send().await
}

async fn sign_in(app: &App, name: &str, password: &str) -> Reply {
    let body = json!({"email": format!("{name}@example.com"), "password": password});
    app.anon().post("/auth/v1/token?grant_type=password").json(body).send().await
}

async fn refresh(app: &App, token: &str) -> Reply {
    let body = json!({"refresh_token": token});
    app.anon().post("/auth/v1/token?grant_type=refresh_token").json(body).send().await
}

async fn verify(app: &App, kind: &str, email: &str, code: &str) -> Reply {
    let body = json!({"type": kind, "email": email, "token": code});
    app.anon().post("/auth/v1/verify").json(body).send().await
}

/// Whether the session behind an access token still counts.
async fn is_signed_in(actor: &Actor) -> bool {
    let reply = actor.get("/auth/v1/user").send().await;
    if reply.status != 200 {
        assert_refused(reply, 403, "session_not_found");
        return false;
    }
    true
}

/// Asserts an error's status and its code, where every client finds it.
#[track_caller]
fn assert_refused(reply: Reply, status: u16, code: &str) {
    let got = (reply.status.as_u16(), reply.header("x-sb-error-code"));
    assert_eq!(got, (status, code), "{}", reply.text());
}

/// A mail as its reader uses it.
struct Letter {
    subject: String,
    /// The whole link.
    link: String,
    code: String,
}

impl Letter {
    /// The newest mail to `to`, once there are `count` of them.
    async fn newest(app: &App, to: &str, count: usize) -> Letter {
        for _ in 0..2_000 {
            let mails = app.mails(to).await;
            if mails.len() >= count {
                assert_eq!(mails.len(), count, "more mails than were asked for");
                return Letter::read(&mails[0].subject, &mails[0].html);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no {count} mails came to {to}");
    }

    fn read(subject: &str, html: &str) -> Letter {
        let link =
            html.split_once("href=\"").and_then(|(_, rest)| rest.split_once('"')).expect("there is a link").0;
        let texts = html.split('>').filter_map(|piece| piece.split_once('<')).map(|(text, _)| text);
        let mut codes = texts.filter(|text| text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()));
        Letter {
            subject: subject.to_owned(),
            link: link.replace("&amp;", "&"),
            code: codes.next().expect("there is a code").to_owned(),
        }
    }

    /// Opens the link as a browser does: without a key.
    async fn follow(&self, app: &App) -> Landing {
        let origin = format!("http://{}", app.nobody().host());
        let path = self.link.strip_prefix(&origin).expect("the link leads to the project's own host");
        Landing::of(&app.nobody().get(path).send().await.expect(303))
    }

    /// The token in the link.
    fn token_hash(&self) -> String {
        let url: url::Url = self.link.parse().expect("the link is a URL");
        let token = url.query_pairs().find(|(name, _)| name == "token").expect("the link has a token").1;
        token.into_owned()
    }
}

/// Where a link leads: to a page, with something in the fragment.
struct Landing {
    page: String,
    fragment: BTreeMap<String, String>,
}

impl Landing {
    fn of(reply: &Reply) -> Landing {
        let (page, fragment) = reply.header("location").split_once('#').expect("there is a fragment");
        let fragment = url::form_urlencoded::parse(fragment.as_bytes()).into_owned().collect();
        // a bare host and its root are one page
        Landing { page: page.trim_end_matches('/').to_owned(), fragment }
    }

    fn get(&self, name: &str) -> &str {
        self.fragment.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whoever the fragment signs in.
    fn signed_in(&self, app: &App) -> Actor {
        assert_eq!(self.get("error_code"), "", "{:?}", self.fragment);
        app.signed_in(
            &json!({"access_token": self.get("access_token"), "refresh_token": self.get("refresh_token")}),
        )
    }
}

/// The claims of an access token, once the public keys have proved it.
async fn claims(app: &App, token: &str) -> Value {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    let keys = app.nobody().get("/auth/v1/.well-known/jwks.json").send().await.expect(200);
    let keys: JwkSet = serde_json::from_slice(&keys.body).expect("a key set");
    let header = decode_header(token).expect("a token");
    let key = keys.find(&header.kid.expect("the token names its key")).expect("the key is in the set");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["authenticated"]);
    let key = DecodingKey::from_jwk(key).expect("a key that verifies");
    decode::<Value>(token, &key, &validation).expect("the token is proved").claims
}
