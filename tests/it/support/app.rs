//! A project with a database of its own, and the people who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::Secret;
use common::project::Endpoint;
use http::Method;
use platform::models::project::{Access, NewProject, StoredProject};
use platform::provision::Placement;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::at;
use super::client::{Call, Reply};
use super::stack::Stack;

static NEXT: AtomicU32 = AtomicU32::new(1);
/// The password of every test user.
pub const PASSWORD: &str = "correct horse battery";

/// One project.
pub struct App {
    pub stack: Arc<Stack>,
    pub project: StoredProject,
    pub access: Access,
}

/// Someone who calls: with which key, and with which token.
#[derive(Clone)]
pub struct Actor {
    base: String,
    host: String,
    key: Option<String>,
    /// A user's access token.
    pub token: Option<String>,
    /// A user's id.
    pub id: String,
    pub refresh_token: String,
}

impl App {
    /// A new project.
    pub async fn new() -> App {
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let new = NewProject {
            reference: name.parse().expect("a project reference"),
            name,
            placement: Placement::Database,
            jwt_secret: None,
        };
        let stack = Stack::shared().await;
        let (project, access) = stack.up.platform.create(new).await.expect("the project is made");
        App { stack, project, access }
    }

    /// A new project whose database holds what `sql` makes, as its owner.
    pub async fn with(sql: &str) -> App {
        let app = App::new().await;
        app.sql(sql).await;
        app
    }

    fn actor(&self, key: Option<&str>) -> Actor {
        let base = self.stack.up.info.url.clone();
        let port = base.rsplit_once(':').expect("the URL has a port").1;
        Actor {
            host: format!("{}.localhost:{port}", self.project.reference),
            base,
            key: key.map(str::to_owned),
            token: None,
            id: String::new(),
            refresh_token: String::new(),
        }
    }

    /// Nobody: no key, no token.
    pub fn nobody(&self) -> Actor {
        self.actor(None)
    }

    /// A browser before anyone signed in.
    pub fn anon(&self) -> Actor {
        self.actor(Some(&self.access.anon_key))
    }

    /// A server with the service key.
    pub fn service(&self) -> Actor {
        self.actor(Some(self.access.service_role_key.expose()))
    }

    /// A browser with this user signed in; signed up first if need be.
    pub async fn user(&self, name: &str) -> Actor {
        let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
        let reply = self.anon().post("/auth/v1/signup").json(body.clone()).send().await;
        let reply = match reply.status.as_u16() {
            422 => self.anon().post("/auth/v1/token?grant_type=password").json(body).send().await,
            _ => reply,
        };
        self.signed_in(&reply.expect(200).json())
    }

    /// The actor that a session's JSON stands for.
    pub fn signed_in(&self, session: &Value) -> Actor {
        let text = |pointer| at(session, pointer).as_str().unwrap_or_default().to_owned();
        Actor {
            token: Some(text("/access_token")),
            id: text("/user/id"),
            refresh_token: text("/refresh_token"),
            ..self.anon()
        }
    }

    /// Replaces a service's settings.
    pub async fn settings(&self, service: &str, settings: Value) {
        let platform = &self.stack.up.platform;
        platform
            .set_settings(&self.project.reference, service, &settings)
            .await
            .expect("the settings are kept");
    }

    /// Runs SQL as the project's owner.
    pub async fn sql(&self, sql: &str) {
        let mut connection = self.connect("owner").await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("the SQL runs");
        connection.close().await.expect("the connection closes");
    }

    /// One value, as JSON, of a query run as superuser.
    pub async fn value(&self, sql: &str) -> Value {
        let mut connection = self.connect("admin").await;
        let sql = format!("SELECT to_jsonb(x) FROM ({sql}) AS q (x)");
        let value =
            sqlx::query_scalar::<_, Option<Value>>(AssertSqlSafe(sql)).fetch_optional(&mut connection).await;
        value.expect("the query runs").flatten().unwrap_or(Value::Null)
    }

    /// A connection to the project's database with one of its logins.
    pub async fn connect(&self, login: &str) -> PgConnection {
        let endpoint = self.login(login).await;
        PgConnection::connect_with(&common::db::options(&endpoint)).await.expect("the database lets us in")
    }

    /// One of the project's logins.
    pub async fn login(&self, login: &str) -> Endpoint {
        self.stack.up.platform.login(&self.project, login).await.expect("the login is there")
    }

    /// Mails in the console's inbox for one recipient, newest first.
    pub async fn mails(&self, to: &str) -> Vec<platform::models::inbox::Mail> {
        self.stack.up.platform.mails(&self.project.reference, Some(to)).await.expect("the inbox is there")
    }

    /// The secret of HS256 tokens.
    pub fn jwt_secret(&self) -> &Secret {
        &self.access.jwt_secret
    }
}

impl Actor {
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// A request with this actor's host, key and token.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut call = Call::new(method, &format!("{}{path}", self.base)).header("host", &self.host);
        if let Some(key) = &self.key {
            call = call.header("apikey", key);
        }
        if let Some(token) = &self.token {
            call = call.header("authorization", &format!("Bearer {token}"));
        }
        call
    }

    /// The same person with another key.
    pub fn with_key(&self, key: &str) -> Actor {
        Actor { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same person with another token.
    pub fn with_token(&self, token: &str) -> Actor {
        Actor { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same person at another host.
    pub fn at_host(&self, host: &str) -> Actor {
        Actor { host: host.to_owned(), ..self.clone() }
    }

    /// The host it calls.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Selects rows and expects success.
    pub async fn rows(&self, path: &str) -> Value {
        let reply: Reply = self.get(&format!("/rest/v1/{path}")).send().await;
        reply.expect(200).json()
    }
}
