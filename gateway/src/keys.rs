//! Keys: which project a request is for, and which role its key stands for.
//!
//! Host, key and token must agree on the project. The key becomes a token that services verify themselves: no header
//! carries a role.

use std::sync::Arc;
use std::time::Duration;

use base::error::{BAD_REQUEST, NOT_FOUND, OrInternal, UNAUTHORIZED};
use base::secret::sha256_hex;
use base::{Clock, Error, Request, Result};
use common::claims::{self, Claims};
use common::project::{Document, ProjectRef};
use common::{Projects, projects::PROJECT_NOT_FOUND};
use http::header::AUTHORIZATION;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use moka::future::Cache;
use serde_json::json;

use crate::edge::{KeyRule, Rule};

/// How long a role token is good for, in seconds.
const ROLE_TOKEN_SECONDS: i64 = 60;
/// How long one is handed out again; the rest of its life is for the request it is in.
const ROLE_TOKEN_REUSE: Duration = Duration::from_secs(20);

/// A request that may pass.
pub(crate) struct Pass {
    pub(crate) project: ProjectRef,
}

/// The roles that keys stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Anon,
    Service,
}

impl Role {
    fn parse(name: &str) -> Option<Role> {
        match name {
            "anon" => Some(Role::Anon),
            "service_role" => Some(Role::Service),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Role::Anon => "anon",
            Role::Service => "service_role",
        }
    }
}

pub(crate) struct Keyring {
    projects: Projects,
    domain: String,
    clock: Clock,
    role_tokens: Cache<(ProjectRef, i64, Role), HeaderValue>,
}

impl Keyring {
    pub(crate) fn new(projects: Projects, domain: String, clock: Clock) -> Keyring {
        let role_tokens = Cache::builder().max_capacity(10_000).time_to_live(ROLE_TOKEN_REUSE).build();
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        Keyring { projects, domain, clock, role_tokens }
    }

    /// Finds the request's project, checks its key, and leaves a token in `Authorization`.
    ///
    /// The key itself goes no further. Errors: 401 for a missing, wrong or foreign key, also one of a project that is
    /// unknown; 404 for an unknown project at the host.
    pub(crate) async fn admit(
        &self,
        request: &mut Request,
        rule: &Rule,
        host: Option<&Authority>,
    ) -> Result<Pass> {
        let by_host = self.by_host(host)?;
        let key = take_key(request)?;
        let Some(key) = key else {
            if rule.key != KeyRule::Open {
                return Err(unauthorized("no API key in the `apikey` header or query parameter"));
            }
            let project = self.without_key(by_host).await?;
            drop_key_like_bearer(request.headers_mut());
            return Ok(Pass { project: project.reference.clone() });
        };
        let (project, role) = self.by_key(&key, by_host.as_ref()).await?;
        if by_host.is_some_and(|host| host != project.reference) {
            return Err(unauthorized("the key belongs to another project than the host"));
        }
        if rule.key == KeyRule::ServiceKey && role != Role::Service {
            return Err(unauthorized("this path takes the service key"));
        }
        if !has_user_token(request.headers()) {
            let token = self.token(&project, &key, role).await?;
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        Ok(Pass { project: project.reference.clone() })
    }

    /// The project that the host's first label names; none for the bare domain, an address, or a foreign host.
    fn by_host(&self, host: Option<&Authority>) -> Result<Option<ProjectRef>> {
        let label = host.and_then(|host| host.host().strip_suffix(self.domain.as_str())?.strip_suffix('.'));
        label.map(|label| label.parse().map_err(|_| no_project())).transpose()
    }

    /// The project of a request without a key: its host's; without one, the only project there is.
    async fn without_key(&self, by_host: Option<ProjectRef>) -> Result<Arc<Document>> {
        let reference = match by_host {
            Some(reference) => reference,
            None => self.projects.sole().await?.ok_or_else(|| {
                BAD_REQUEST
                    .error("the request names no project")
                    .with_hint("there are several: use the host <project>.<domain>, or send an apikey")
            })?,
        };
        self.projects.get(&reference).await.map_err(|error| if_unknown(error, no_project()))
    }

    async fn by_key(&self, key: &str, by_host: Option<&ProjectRef>) -> Result<(Arc<Document>, Role)> {
        if key.starts_with("sb_") {
            return self.by_opaque_key(key).await;
        }
        let reference =
            named_project(key).or_else(|| by_host.cloned()).unwrap_or_else(ProjectRef::default_project);
        let project = self.project_of_key(&reference).await?;
        let claims = claims::verify(key, &project, self.clock.unix(), 0).map_err(|_| wrong_key())?;
        let role = role(&claims).ok_or_else(wrong_key)?;
        Ok((project, role))
    }

    async fn by_opaque_key(&self, key: &str) -> Result<(Arc<Document>, Role)> {
        let hash = sha256_hex(key);
        let reference = self.projects.by_api_key(&hash).await?.ok_or_else(wrong_key)?;
        let project = self.project_of_key(&reference).await?;
        let stored = project.keys.api.iter().find(|stored| same(&stored.hash, &hash));
        let role = stored.and_then(|stored| Role::parse(&stored.role)).ok_or_else(wrong_key)?;
        Ok((project, role))
    }

    /// Which projects exist is nobody's business: an unknown one under a key is a wrong key.
    async fn project_of_key(&self, reference: &ProjectRef) -> Result<Arc<Document>> {
        self.projects.get(reference).await.map_err(|error| if_unknown(error, wrong_key()))
    }

    /// What goes into `Authorization`: the legacy key itself, or a role token in the place of an opaque one.
    async fn token(&self, project: &Document, key: &str, role: Role) -> Result<HeaderValue> {
        if !key.starts_with("sb_") {
            return HeaderValue::from_str(&format!("Bearer {key}")).or_internal();
        }
        let slot = (project.reference.clone(), project.version, role);
        if let Some(token) = self.role_tokens.get(&slot).await {
            return Ok(token);
        }
        let token = self.sign(project, role)?;
        self.role_tokens.insert(slot, token.clone()).await;
        Ok(token)
    }

    fn sign(&self, project: &Document, role: Role) -> Result<HeaderValue> {
        let signing = project.keys.signing.as_ref();
        let signing = signing.ok_or_else(|| Error::internal("the gateway has no key to sign with"))?;
        let now = self.clock.unix();
        let claims = json!({"iss": "meshbase-gateway", "ref": project.reference, "role": role.name(),
            "iat": now, "exp": now + ROLE_TOKEN_SECONDS});
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(signing.id.clone());
        let key = EncodingKey::from_ec_pem(signing.pem.expose().as_bytes()).or_internal()?;
        let token = jsonwebtoken::encode(&header, &claims, &key).or_internal()?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).or_internal()?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Takes the key out of the header and the query: services and logs never see it.
fn take_key(request: &mut Request) -> Result<Option<String>> {
    let header = request.headers_mut().remove("apikey");
    let header = header.map(|key| key.to_str().map(str::to_owned).map_err(|_| wrong_key())).transpose()?;
    let query = request.uri().query().filter(|query| query.contains("apikey=")).map(str::to_owned);
    let Some(query) = query else { return Ok(header.filter(|key| !key.is_empty())) };
    let mut from_query = None;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.strip_prefix("apikey=") {
            Some(key) => {
                from_query = Some(percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned());
                false
            }
            None => true,
        })
        .collect();
    let path = request.uri().path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    *request.uri_mut() = target.parse().map_err(|_| BAD_REQUEST.error("the query cannot be read"))?;
    match (header, from_query) {
        (Some(header), Some(query)) if header != query => Err(unauthorized("two different API keys")),
        (header, query) => Ok(header.or(query).filter(|key| !key.is_empty())),
    }
}

/// Whether `Authorization` holds a token of its own; an opaque key there counts for none.
fn has_user_token(headers: &HeaderMap) -> bool {
    claims::bearer(headers).is_some_and(|token| token.split('.').count() == 3)
        || headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256"))
}

/// An opaque key where a token belongs proves nothing to a service and must not travel on.
fn drop_key_like_bearer(headers: &mut HeaderMap) {
    if claims::bearer(headers).is_some_and(|token| token.starts_with("sb_")) {
        headers.remove(AUTHORIZATION);
    }
}

/// The project that a token-shaped key names, unverified: it only chooses the keys to verify it with.
fn named_project(key: &str) -> Option<ProjectRef> {
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode(key).ok()?.claims;
    claims.get("ref")?.as_str()?.parse().ok()
}

fn role(claims: &Claims) -> Option<Role> {
    Role::parse(claims.get("role")?.as_str()?)
}

fn same(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn unauthorized(why: &str) -> Error {
    UNAUTHORIZED.error(format!("Unauthorized: {why}"))
}

fn wrong_key() -> Error {
    unauthorized("the API key is not valid")
}

fn no_project() -> Error {
    NOT_FOUND.error("no such project")
}

/// `instead` if `error` says that there is no such project.
fn if_unknown(error: Error, instead: Error) -> Error {
    if error.code.name() == PROJECT_NOT_FOUND.name() { instead } else { error }
}
