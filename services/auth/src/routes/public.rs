//! What anybody may know: that the service runs, how the project is set up, and the keys that prove its tokens.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::IntoResponse;
use base::Response;
use common::Project;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::Context;

/// Providers that clients know by name; each shows as off.
const PROVIDERS: [&str; 24] = [
    "apple",
    "azure",
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "fly",
    "github",
    "gitlab",
    "google",
    "kakao",
    "keycloak",
    "linkedin",
    "linkedin_oidc",
    "notion",
    "slack",
    "slack_oidc",
    "snapchat",
    "spotify",
    "twitch",
    "twitter",
    "workos",
    "x",
    "zoom",
];

/// Who answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    version: &'static str,
    name: &'static str,
    description: &'static str,
}

/// Says that the service answers.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "public", responses((status = 200, body = Health)))]
pub(crate) async fn health() -> Json<Health> {
    Json(Health {
        version: concat!("v", env!("CARGO_PKG_VERSION")),
        // clients look for the name of the API
        name: "GoTrue",
        description: "users, sessions and tokens of a Meshbase project",
    })
}

/// How signing up and in is set up.
#[derive(Serialize, ToSchema)]
pub(crate) struct PublicSettings {
    /// Each way to sign in, and whether it is on.
    external: BTreeMap<&'static str, bool>,
    disable_signup: bool,
    mailer_autoconfirm: bool,
    phone_autoconfirm: bool,
    sms_provider: &'static str,
    saml_enabled: bool,
    saml_private_key_next_configured: bool,
    passkeys_enabled: bool,
}

/// Tells how signing up and in is set up, for sign-in pages.
#[utoipa::path(get, path = "/settings", operation_id = "get_settings", tag = "public", responses((status = 200, body = PublicSettings)))]
pub(crate) async fn settings(context: Context) -> Json<PublicSettings> {
    let settings = &context.settings;
    let mut external: BTreeMap<&str, bool> =
        PROVIDERS.into_iter().map(|provider| (provider, false)).collect();
    external.insert("email", settings.email.enable_signup);
    external.insert("phone", settings.sms.enable_signup);
    external.insert("anonymous_users", settings.enable_anonymous_sign_ins);
    Json(PublicSettings {
        external,
        disable_signup: !settings.enable_signup,
        mailer_autoconfirm: context.autoconfirms_email(),
        phone_autoconfirm: context.autoconfirms_phone(),
        sms_provider: "",
        saml_enabled: false,
        saml_private_key_next_configured: false,
        passkeys_enabled: false,
    })
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Serialize, ToSchema)]
pub(crate) struct KeySet {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<jsonwebtoken::jwk::Jwk>,
}

/// The public keys that prove this project's tokens.
///
/// A shared secret never shows: a symmetric key that slipped into the set is left out.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "get_jwks", tag = "public", responses((status = 200, body = KeySet)))]
pub(crate) async fn jwks(Project(project): Project) -> Response {
    use jsonwebtoken::jwk::AlgorithmParameters::OctetKey;
    let keys =
        project.keys.public.iter().filter(|key| !matches!(key.algorithm, OctetKey(_))).cloned().collect();
    ([(CACHE_CONTROL, "public, max-age=600")], Json(KeySet { keys })).into_response()
}
