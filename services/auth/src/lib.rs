//! Users, sessions and tokens: the GoTrue API over each project's own database.
//!
//! - [`Config`]: what the process decides; [`Settings`]: what a project decides
//! - `routes/`: one file for each group of requests; `models/`: the tables of the `auth` schema
//! - `context`, `caller`, `input`: what a request brings, parsed at the door; `error`: what it may get back
//! - `password`, `access_token`, `refresh_token`, `one_time_code`: the proofs; `limit`: how often they may be tried
//! - `mail`, `redirect`: what leaves the service, and where links may lead
//!
//! # Attacks, and what stands against each
//!
//! | attack | answer | where |
//! |---|---|---|
//! | a refresh token is stolen and used | one `UPDATE` moves the counter; a token two behind ends the session, and that stands although the request fails | `routes/token.rs`, `session::advance`, `session::revoke` |
//! | a refresh token is made up | HMAC under the session's own key, one spelling per token | `refresh_token.rs` |
//! | a mailed link or code is used twice | one `DELETE … RETURNING` decides | `one_time_token::redeem` |
//! | a six-digit code is guessed | ten tries per address in ten minutes, whoever tries; the link's hash does not follow from the code | `limit.rs`, `one_time_code.rs` |
//! | a link checker burns the link | `HEAD` uses nothing up, and the code still works | `routes/verify.rs` |
//! | a link leads a session elsewhere | allow-list on the URL as browsers read it | `redirect.rs` |
//! | addresses are tried out | same answer, same limits, a dummy hash, a least time; mail goes out afterwards | `routes/mail.rs`, `password.rs` |
//! | an old password signs in while it is changed | the session begins only on the hash that was verified | `session::begin` |
//! | an address is claimed before its owner comes | confirmation is the default; who has an address keeps it | `routes/signup.rs` |
//! | hashes exhaust processor and memory | as many as cores, a short queue, bounds on imported parameters | `hasher.rs`, `password.rs` |
//! | one project's token, key or counter in another | keys from the named project's document; every cache and limit key carries its id | `caller.rs`, `access_token.rs`, `limit.rs` |
//! | a forged, unsigned, textual-expiry or foreign token | refused, and only then looked up | `common::claims` |
//! | a token is used after its session ended | the database notes every end; who verifies tokens is told within a second | `revocations.rs`, `common::revocations` |
//! | the feed of ended sessions is read from outside | only `data` and `storage` are answered, by their mesh identity; the gateway closes the path | `routes/revocations.rs` |
//! | NUL, towers of brackets, endless bodies | 400 or 413 at the door | `input.rs` |

use std::sync::Arc;

use base::Result;
use common::service::onion;
use common::{Dependencies, Projects, Service};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

mod access_token;
mod caller;
mod config;
mod contact;
mod context;
mod duration;
mod error;
mod grant;
mod hasher;
mod input;
mod limit;
mod mail;
mod models;
mod one_time_code;
mod password;
mod redirect;
mod refresh_token;
mod revocations;
mod routes;
mod settings;

pub use config::Config;
pub use settings::{EmailSettings, RateLimitSettings, Settings, SmsSettings};

use context::Auth;
use routes::{admin, logout, mail as mails, public, revocations as revoked, signup, token, user, verify};

/// Starts the service.
pub fn start(config: Config, deps: Dependencies) -> Result<Service> {
    let projects = Projects::start(deps.outbound.clone(), deps.state_dir.clone(), &deps.tasks);
    let auth = Arc::new(Auth::new(config, &deps, projects.clone())?);
    Ok(onion("auth", table().with_state(auth), Some(projects), &deps, error::ENVELOPE))
}

/// The service's document, without starting anything.
pub fn openapi() -> utoipa::openapi::OpenApi {
    table().into_openapi()
}

#[derive(OpenApi)]
#[openapi(info(title = "Meshbase auth", description = "Users, sessions and tokens: the GoTrue API."))]
struct Document;

/// Every route.
fn table() -> OpenApiRouter<Arc<Auth>> {
    OpenApiRouter::with_openapi(Document::openapi())
        // anybody
        .routes(routes!(public::health))
        .routes(routes!(public::settings))
        .routes(routes!(public::jwks))
        // signing in
        .routes(routes!(signup::sign_up))
        .routes(routes!(token::token))
        .routes(routes!(verify::verify, verify::follow_link))
        .routes(routes!(mails::recover))
        .routes(routes!(mails::resend))
        // a signed-in user
        .routes(routes!(user::get_user, user::update_user))
        .routes(routes!(logout::logout))
        // the project's own back end
        .routes(routes!(admin::list_users, admin::create_user))
        .routes(routes!(admin::get_user, admin::update_user, admin::delete_user))
        // services
        .routes(routes!(revoked::watch))
}
