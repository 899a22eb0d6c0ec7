//! What every handler needs of the process and of its request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use base::error::BAD_REQUEST;
use base::{Clock, Error, Random, Result, Timestamp, header};
use common::db::Tx;
use common::{Databases, Db, Dependencies, Document, Project, Projects};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use crate::access_token::Signers;
use crate::config::Config;
use crate::contact::Contact;
use crate::hasher::Hasher;
use crate::limit::{Action, Asker, Limits, MailKind};
use crate::mail::Postman;
use crate::redirect;
use crate::revocations::LookOuts;
use crate::settings::Settings;

/// Longest user agent that is kept, in characters.
const MAX_USER_AGENT_CHARS: usize = 512;

/// What the process holds for all projects.
pub(crate) struct Auth {
    pub(crate) config: Config,
    pub(crate) databases: Databases,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) hasher: Hasher,
    pub(crate) signers: Signers,
    pub(crate) limits: Limits,
    pub(crate) postman: Postman,
    pub(crate) look_outs: LookOuts,
}

impl Auth {
    pub(crate) fn new(config: Config, deps: &Dependencies, projects: Projects) -> Result<Auth> {
        let databases = Databases::new(projects, config.budget());
        Ok(Auth {
            postman: Postman::new(databases.clone(), deps),
            databases,
            clock: deps.clock.clone(),
            random: deps.random.clone(),
            hasher: Hasher::new(deps.random.clone())?,
            signers: Signers::new(),
            limits: Limits::new(),
            look_outs: LookOuts::default(),
            config,
        })
    }
}

/// Who calls, as far as the gateway knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
}

impl Client {
    /// The address as text, for columns of network addresses.
    pub(crate) fn ip_text(&self) -> Option<String> {
        self.ip.map(|ip| ip.to_string())
    }
}

/// A request's project, its settings and database, its client, and the moment it came.
pub(crate) struct Context {
    pub(crate) auth: Arc<Auth>,
    pub(crate) project: Arc<Document>,
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) now: Timestamp,
    /// The public base URL of this API, without a slash at the end.
    pub(crate) base_url: String,
    wanted_redirect: Option<String>,
    db: Db,
}

impl FromRequestParts<Arc<Auth>> for Context {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Context> {
        let Project(project) = Project::from_request_parts(parts, auth).await?;
        let headers = &parts.headers;
        let origin = text(headers, &header::ORIGIN);
        let origin =
            origin.ok_or_else(|| BAD_REQUEST.error("the request does not say under which URL it came"))?;
        auth.postman.attend(&project).await;
        Ok(Context {
            settings: project.settings()?,
            db: auth.databases.of(&project).await?,
            auth: auth.clone(),
            project,
            client: client(headers),
            now: auth.clock.now(),
            base_url: format!("{origin}/auth/v1"),
            wanted_redirect: wanted_redirect(headers, parts.uri.query().unwrap_or_default()),
        })
    }
}

impl Context {
    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.db.begin().await
    }

    /// A connection for single statements.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>> {
        self.db.acquire().await
    }

    /// Whether a new address counts as confirmed at once.
    pub(crate) fn autoconfirms(&self, contact: &Contact) -> bool {
        match contact {
            Contact::Email(_) => self.autoconfirms_email(),
            Contact::Phone(_) => self.autoconfirms_phone(),
        }
    }

    pub(crate) fn autoconfirms_email(&self) -> bool {
        self.auth.config.allow_autoconfirm && !self.settings.email.enable_confirmations
    }

    pub(crate) fn autoconfirms_phone(&self) -> bool {
        self.auth.config.allow_autoconfirm && !self.settings.sms.enable_confirmations
    }

    /// Counts the request against its client's allowance.
    pub(crate) fn limit(&self, action: Action) -> Result<()> {
        self.auth.limits.client(&self.asker(), action)
    }

    /// Counts a mail to `address`, whether or not anybody has it.
    pub(crate) fn limit_mail(&self, kind: MailKind, address: &str) -> Result<()> {
        self.auth.limits.mail(&self.asker(), kind, address, self.settings.email.max_frequency)
    }

    /// Counts a code tried for `address`, whether or not anybody has it.
    pub(crate) fn limit_guesses(&self, address: &str) -> Result<()> {
        self.auth.limits.guess(&self.asker(), address)
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            project: self.project.id,
            ip: self.client.ip,
            settings: &self.settings.rate_limit,
            now: self.now,
        }
    }

    /// Where a link or redirect of this request leads.
    pub(crate) fn redirect(&self) -> String {
        let settings = &self.settings;
        redirect::resolve(
            self.wanted_redirect.as_deref(),
            &settings.site_url,
            &settings.additional_redirect_urls,
        )
    }

    /// Codes made before this moment have expired.
    pub(crate) fn codes_since(&self) -> Timestamp {
        self.now - time::Duration::seconds(self.settings.email.otp_expiry.into())
    }
}

fn client(headers: &HeaderMap) -> Client {
    let user_agent = headers
        .get(http::header::USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(MAX_USER_AGENT_CHARS).collect());
    Client { ip: text(headers, &header::CLIENT_IP).and_then(|ip| ip.parse().ok()), user_agent }
}

/// Header, then query, then the page the request came from.
fn wanted_redirect(headers: &HeaderMap, query: &str) -> Option<String> {
    text(headers, &HeaderName::from_static("redirect_to"))
        .map(str::to_owned)
        .or_else(|| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == "redirect_to").map(|(_, value)| value.into_owned())
        })
        .filter(|wanted| !wanted.is_empty())
        .or_else(|| text(headers, &http::header::REFERER).map(str::to_owned))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
