//! One request's caller and project, and the transactions that run as that caller.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base::{Error, Result};
use common::claims::{self, TokenError};
use common::db::{Tx, set_local};
use common::revocations::HAS_ENDED;
use common::{Caller, Db, Document, Project};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use uuid::Uuid;

use crate::Storage;
use crate::config::Settings;
use crate::error::{ACCESS_DENIED, OrDatabase, malformed, wrong_role};
use crate::operation::Operation;

/// Seconds by which another service's clock may differ.
const LEEWAY: i64 = 5;
/// No statement runs longer than this, whatever the role allows.
const STATEMENT_TIMEOUT: &str = "30s";
/// What functions in users' policies and triggers find without a schema's name.
const SEARCH_PATH: &str = "storage, public, extensions";

/// Who asks, of which project, and how. Every statement on behalf of a request goes through it.
pub(crate) struct Session {
    pub(crate) storage: Storage,
    pub(crate) project: Arc<Document>,
    pub(crate) settings: Settings,
    /// `None` if no good token came with the request.
    caller: Option<Caller>,
    db: Db,
    method: Method,
    path: String,
    headers: HeaderMap,
}

impl Session {
    async fn open(
        parts: &mut Parts,
        storage: &Storage,
        project: Arc<Document>,
        caller: Option<Caller>,
    ) -> Result<Session> {
        storage.runner.attend(&project.reference);
        Ok(Session {
            storage: storage.clone(),
            settings: project.settings()?,
            caller,
            db: storage.databases.of(&project).await?,
            project,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
        })
    }

    /// The id of the user, to own what is created.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.caller.as_ref()?.subject()
    }

    /// Whether a good token came with the request.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.caller.is_some()
    }

    /// The same request past row-level security: for signed and public URLs, which carry their own permission.
    pub(crate) fn into_service(self) -> Session {
        Session { caller: Some(service()), ..self }
    }

    /// Begins a transaction as the caller; without a token that is `anon`.
    pub(crate) async fn begin(&self, operation: Operation) -> Result<Tx> {
        match &self.caller {
            Some(caller) => self.begin_as(caller, operation).await,
            None => self.begin_as(&Caller::anonymous(), operation).await,
        }
    }

    /// Begins a transaction past row-level security, which users' triggers see as `service_role`.
    pub(crate) async fn begin_as_service(&self, operation: Operation) -> Result<Tx> {
        self.begin_as(&service(), operation).await
    }

    /// A connection for single statements as the owner of the storage tables.
    pub(crate) async fn owner_connection(&self) -> Result<PoolConnection<Postgres>> {
        self.db.acquire().await.or_database()
    }

    /// Begins a transaction as the owner of the storage tables, for our own bookkeeping.
    pub(crate) async fn begin_as_owner(&self) -> Result<Tx> {
        self.db.begin().await.or_database()
    }

    /// Puts the rest of a transaction that began as the owner under the caller's rights.
    pub(crate) async fn become_caller(&self, tx: &mut Tx, operation: Operation) -> Result<()> {
        let settings = match &self.caller {
            Some(caller) => self.settings_of(caller, operation),
            None => self.settings_of(&Caller::anonymous(), operation),
        };
        set_local(tx, &settings).await.or_database().map_err(unknown_role)
    }

    async fn begin_as(&self, caller: &Caller, operation: Operation) -> Result<Tx> {
        self.db.begin_as(&self.settings_of(caller, operation)).await.or_database().map_err(unknown_role)
    }

    fn settings_of(&self, caller: &Caller, operation: Operation) -> Vec<(&'static str, String)> {
        let mut settings = claims::session_settings(caller, &self.method, &self.path, &self.headers);
        let token = caller.token.as_ref().map_or("", |token| token.expose());
        settings.extend([
            ("request.jwt", token.to_owned()),
            ("request.jwt.claim.role", caller.role.clone()),
            ("request.jwt.claim.sub", caller.subject().unwrap_or_default().to_owned()),
        ]);
        settings.extend(own_settings(operation));
        settings
    }
}

/// Begins a transaction outside of a request, past row-level security.
pub(crate) async fn begin_unattended(db: &Db, operation: Operation) -> Result<Tx> {
    let mut settings = vec![
        ("role", "service_role".to_owned()),
        ("request.jwt.claims", r#"{"role":"service_role"}"#.to_owned()),
    ];
    settings.extend(own_settings(operation));
    db.begin_as(&settings).await.or_database()
}

fn own_settings(operation: Operation) -> [(&'static str, String); 4] {
    [
        ("storage.operation", operation.0.to_owned()),
        ("storage.allow_delete_query", "true".to_owned()),
        ("statement_timeout", STATEMENT_TIMEOUT.to_owned()),
        ("search_path", SEARCH_PATH.to_owned()),
    ]
}

fn service() -> Caller {
    let role = "service_role".to_owned();
    Caller {
        claims: Arc::new([("role".to_owned(), role.clone().into())].into_iter().collect()),
        role,
        token: None,
    }
}

/// A good token may name a role that does not exist here, or that is not for API callers.
fn unknown_role(error: Error) -> Error {
    match error.code.name() {
        "InvalidParameter" => ACCESS_DENIED.error(error.message.clone()).caused_by(error),
        _ => error,
    }
}

/// A session of a caller with a good token.
pub(crate) struct Authenticated(pub(crate) Session);

/// A session of a caller with the service role.
pub(crate) struct ServiceRole(pub(crate) Session);

/// A session of anybody: a bad token counts as none.
pub(crate) struct Optional(pub(crate) Session);

/// A session that no token was read for: the URL itself is the permission.
pub(crate) struct Unauthenticated(pub(crate) Session);

impl FromRequestParts<Storage> for Authenticated {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<Authenticated> {
        let Project(project) = Project::from_request_parts(parts, storage).await?;
        let caller = caller(&parts.headers, &project, storage).await?;
        Session::open(parts, storage, project, Some(caller)).await.map(Authenticated)
    }
}

impl FromRequestParts<Storage> for ServiceRole {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<ServiceRole> {
        let Authenticated(session) = Authenticated::from_request_parts(parts, storage).await?;
        if session.caller.as_ref().is_some_and(|caller| caller.role == "service_role") {
            return Ok(ServiceRole(session));
        }
        Err(wrong_role())
    }
}

impl FromRequestParts<Storage> for Optional {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<Optional> {
        let Project(project) = Project::from_request_parts(parts, storage).await?;
        let caller = caller(&parts.headers, &project, storage).await.ok();
        Session::open(parts, storage, project, caller).await.map(Optional)
    }
}

impl FromRequestParts<Storage> for Unauthenticated {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<Unauthenticated> {
        let Project(project) = Project::from_request_parts(parts, storage).await?;
        Session::open(parts, storage, project, None).await.map(Unauthenticated)
    }
}

async fn caller(headers: &HeaderMap, project: &Document, storage: &Storage) -> Result<Caller> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Err(malformed("headers must have required property 'authorization'"));
    }
    let token = claims::bearer(headers).unwrap_or_default();
    let claims = claims::verify(token, project, storage.clock.unix(), LEEWAY).map_err(refusal)?;
    let ask = async |session| has_ended(storage, project, session).await;
    if storage.revocations.is_ended(&project.reference, &claims, ask).await? {
        return Err(ACCESS_DENIED.error("the session has ended"));
    }
    let caller = Caller::of(token, claims);
    let login = project.database.as_ref().map_or("", |database| &database.user);
    if is_for_callers(&caller.role, login) {
        Ok(caller)
    } else {
        Err(ACCESS_DENIED.error("Access denied: Invalid role"))
    }
}

/// What the database says of a session, asked as a caller.
async fn has_ended(storage: &Storage, project: &Document, session: Uuid) -> Result<bool> {
    let as_caller = [("role", "authenticated".to_owned())];
    let mut tx = storage.databases.of(project).await?.begin_as(&as_caller).await.or_database()?;
    sqlx::query_scalar(HAS_ENDED).bind(session.to_string()).fetch_one(&mut *tx).await.or_database()
}

/// Whether a token may name this role. Not those that own the tables: our login can become them, and `none` is how
/// PostgreSQL spells "the login itself".
fn is_for_callers(role: &str, login: &str) -> bool {
    role != "none" && role != login && !role.starts_with("supabase_")
}

fn refusal(error: TokenError) -> Error {
    ACCESS_DENIED.error(match error {
        TokenError::Parts(_) | TokenError::Malformed => "Invalid Compact JWS".to_owned(),
        TokenError::Signature => "signature verification failed".to_owned(),
        TokenError::Expired => "\"exp\" claim timestamp check failed".to_owned(),
        TokenError::NotYetValid => "\"nbf\" claim timestamp check failed".to_owned(),
        TokenError::IssuedInFuture => "\"iat\" claim timestamp check failed".to_owned(),
        TokenError::Claim(name) => format!("\"{name}\" claim is invalid"),
        TokenError::Algorithm => "\"alg\" (Algorithm) Header Parameter value not allowed".to_owned(),
        TokenError::NoSuitableKey => "no applicable key found".to_owned(),
        TokenError::Foreign => "the token belongs to another project".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_name_the_owner_of_the_tables() {
        for role in ["none", "p1_storage", "supabase_storage_admin", "supabase_admin"] {
            assert!(!is_for_callers(role, "p1_storage"), "{role}");
        }
        for role in ["anon", "authenticated", "service_role", "editor"] {
            assert!(is_for_callers(role, "p1_storage"), "{role}");
        }
    }
}
