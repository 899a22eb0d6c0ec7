//! Who calls: the verified token's role and claims, or the anonymous role.

use std::sync::Arc;

use base::Secret;
use common::Caller;
use common::claims::{Claims, TokenError, bearer, check_times, prove};
use common::project::Document;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

use crate::Data;
use crate::error::NO_SECRET;
use crate::error::token::{anonymous_refused, rejected, session_ended};
use crate::execute::{Active, ended};
use crate::snapshot::Snapshot;

/// Seconds by which clocks may differ.
const LEEWAY: i64 = 30;

/// The caller of a request.
///
/// Errors: PGRST301 and PGRST303 for a token that proves nothing, or whose session has ended; PGRST302 without one where
/// there is no anonymous role; PGRST300 where no key could prove one.
pub(crate) async fn identify(
    headers: &HeaderMap,
    project: &Document,
    active: &Active,
    snapshot: &Snapshot,
    data: &Data,
) -> base::Result<Caller> {
    let Snapshot { settings, role_claim, .. } = snapshot;
    let anonymous = settings.anon_role.as_deref();
    let Some(token) = bearer(headers).or_else(|| bare_scheme(headers)) else {
        let role = anonymous.ok_or_else(anonymous_refused)?;
        return Ok(Caller { role: role.to_owned(), claims: Arc::default(), token: None });
    };
    if !project.keys.prove_callers() {
        return Err(NO_SECRET.error("Server lacks JWT secret"));
    }
    let claims = proven(token, project, active, data).await;
    let claims = claims.map_err(|error| rejected(&error, token.is_empty()))?;
    if !is_audience(claims.get("aud")) {
        return Err(rejected(&TokenError::Claim("aud"), false));
    }
    if let Some(wanted) = &settings.jwt_aud
        && !is_for(claims.get("aud"), wanted)
    {
        return Err(rejected(&TokenError::Foreign, false));
    }
    let ask = async |session| Box::pin(async { ended::ask(active.lease().await?, session).await }).await;
    if let Some(revocations) = &data.revocations
        && revocations.is_ended(&project.reference, &claims, ask).await?
    {
        return Err(session_ended());
    }
    let named = role_claim.of(&claims).or_else(|| anonymous.map(str::to_owned));
    let role = named.ok_or_else(anonymous_refused)?;
    Ok(Caller { role, claims, token: Some(Secret::new(token)) })
}

/// The claims of a token that is good now. What the project's keys say of it is found out once.
async fn proven(
    token: &str,
    project: &Document,
    active: &Active,
    data: &Data,
) -> Result<Arc<Claims>, TokenError> {
    let now = data.clock.unix();
    if let Some(claims) = active.proven(token).await {
        check_times(&claims, now, LEEWAY)?;
        return Ok(claims);
    }
    let claims = Arc::new(prove(token, project)?);
    check_times(&claims, now, LEEWAY)?;
    Box::pin(active.prove(token, claims.clone())).await;
    Ok(claims)
}

/// The empty token of a header that names the scheme alone: HTTP drops the space that an empty token leaves.
fn bare_scheme(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.trim().eq_ignore_ascii_case("bearer").then_some("")
}

/// Whether a token that says whom it is for is for `wanted`.
fn is_for(aud: Option<&Value>, wanted: &str) -> bool {
    match aud {
        Some(Value::String(aud)) => aud == wanted,
        Some(Value::Array(all)) => all.is_empty() || all.iter().any(|aud| aud == wanted),
        _ => true,
    }
}

/// Whether an audience has the type it must have (RFC 7519 §4.1.3).
fn is_audience(aud: Option<&Value>) -> bool {
    match aud {
        None | Some(Value::Null | Value::String(_)) => true,
        Some(Value::Array(all)) => all.iter().all(Value::is_string),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_scheme_alone_is_an_empty_token() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer"))]);

        assert_eq!(bare_scheme(&headers), Some(""));
        assert_eq!(bare_scheme(&HeaderMap::new()), None);
    }

    #[test]
    fn a_token_for_somebody_else_is_told_by_its_audience() {
        for mine in [json!("me"), json!(["you", "me"]), json!([]), json!(null)] {
            assert!(is_for(Some(&mine), "me"), "{mine}");
        }
        assert!(is_for(None, "me"));
        for other in [json!("you"), json!(""), json!(["you"])] {
            assert!(!is_for(Some(&other), "me"), "{other}");
        }
    }

    #[test]
    fn an_audience_is_text_or_a_list_of_it() {
        for good in [json!("a"), json!(["a", "b"]), json!(null)] {
            assert!(is_audience(Some(&good)), "{good}");
        }
        for bad in [json!(1), json!({}), json!(["a", 1])] {
            assert!(!is_audience(Some(&bad)), "{bad}");
        }
    }
}
