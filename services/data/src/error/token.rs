//! How this API words a token that proves nothing.

use base::{Code, Error};
use common::claims::TokenError;
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;

use super::{ANONYMOUS, CLAIMS, TOKEN};

/// The 401 for `error`; `empty` says that the header held no token at all.
pub(crate) fn rejected(error: &TokenError, empty: bool) -> Error {
    let (code, message) = match error {
        TokenError::Parts(_) if empty => (TOKEN, "Empty JWT is sent in Authorization header".to_owned()),
        TokenError::Parts(parts) => (TOKEN, format!("Expected 3 parts in JWT; got {parts}")),
        TokenError::Malformed => (TOKEN, "JWT cryptographic operation failed".to_owned()),
        TokenError::NoSuitableKey | TokenError::Signature => {
            (TOKEN, "No suitable key or wrong key type".to_owned())
        }
        TokenError::Algorithm => (TOKEN, "Wrong or unsupported encoding algorithm".to_owned()),
        TokenError::Expired => (CLAIMS, "JWT expired".to_owned()),
        TokenError::NotYetValid => (CLAIMS, "JWT not yet valid".to_owned()),
        TokenError::IssuedInFuture => (CLAIMS, "JWT issued at future".to_owned()),
        TokenError::Claim(claim @ ("exp" | "nbf" | "iat")) => {
            (CLAIMS, format!("The JWT '{claim}' claim must be a number"))
        }
        TokenError::Claim("aud") => {
            (CLAIMS, "The JWT 'aud' claim must be a string or an array of strings".to_owned())
        }
        TokenError::Claim(_) => (CLAIMS, "Parsing claims failed".to_owned()),
        TokenError::Foreign => (CLAIMS, "JWT not in audience".to_owned()),
    };
    let rejection = challenged(code, message);
    match error {
        TokenError::Signature => rejection.with_details("None of the keys was able to decode the JWT"),
        TokenError::Algorithm => rejection.with_details("JWT is unsecured but expected 'alg' was not 'none'"),
        _ => rejection,
    }
}

/// The 401 for a caller without a role where nobody may be anonymous.
pub(crate) fn anonymous_refused() -> Error {
    ANONYMOUS
        .error("Anonymous access is disabled")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The 401 for a token that was good until its session ended.
pub(crate) fn session_ended() -> Error {
    challenged(CLAIMS, "JWT session has ended".to_owned())
}

fn challenged(code: Code, message: String) -> Error {
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{message}\"");
    let challenge = HeaderValue::try_from(challenge).expect("the messages are printable ASCII");
    code.error(message).with_header(WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_token_says_so_twice() {
        let error = rejected(&TokenError::Expired, false);

        assert_eq!(error.code, CLAIMS);
        assert_eq!(
            error.headers[WWW_AUTHENTICATE],
            "Bearer error=\"invalid_token\", error_description=\"JWT expired\""
        );
    }

    #[test]
    fn an_empty_token_is_not_counted_in_parts() {
        assert_eq!(
            rejected(&TokenError::Parts(1), true).message,
            "Empty JWT is sent in Authorization header"
        );
        assert_eq!(rejected(&TokenError::Parts(2), false).message, "Expected 3 parts in JWT; got 2");
    }
}
