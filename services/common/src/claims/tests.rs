//! The attack table of token verification: each row once forged its way into some product.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::project::{Keys, ProjectRef};

const NOW: i64 = 1_800_000_000;

fn project(secret: &str) -> Document {
    Document {
        id: uuid::Uuid::nil(),
        reference: ProjectRef::default_project(),
        version: 1,
        database: None,
        keys: Keys { shared: Some(Secret::new(secret)), ..Keys::default() },
        settings: Value::Null,
    }
}

fn sign(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims serialise")
}

fn check(claims: &Value) -> Result<Claims, TokenError> {
    verify(&sign("secret", claims), &project("secret"), NOW, 0)
}

#[test]
fn a_good_token_yields_its_claims() {
    let claims = check(&json!({"sub": "u1", "role": "authenticated", "exp": NOW + 60})).unwrap();

    assert_eq!(claims["sub"], "u1");
}

#[test]
fn times_are_checked_and_must_be_numbers() {
    assert_eq!(check(&json!({"exp": NOW})), Err(TokenError::Expired));
    assert_eq!(check(&json!({"exp": NOW - 1})), Err(TokenError::Expired));
    assert_eq!(check(&json!({"nbf": NOW + 60})), Err(TokenError::NotYetValid));
    assert_eq!(check(&json!({"iat": NOW + 60})), Err(TokenError::IssuedInFuture));
    for wrong in [json!("9999999999"), json!(null), json!([NOW + 60]), json!({}), json!(true)] {
        assert_eq!(check(&json!({"exp": wrong})), Err(TokenError::Claim("exp")), "{wrong}");
    }
}

#[test]
fn leeway_forgives_a_clock_that_differs() {
    let token = sign("secret", &json!({"exp": NOW - 10}));

    assert!(verify(&token, &project("secret"), NOW, 30).is_ok());
    assert_eq!(verify(&token, &project("secret"), NOW, 5), Err(TokenError::Expired));
}

#[test]
fn another_secret_proves_nothing() {
    let token = sign("other", &json!({"exp": NOW + 60}));

    assert_eq!(verify(&token, &project("secret"), NOW, 0), Err(TokenError::Signature));
}

#[test]
fn alg_none_and_other_algorithms_are_refused() {
    use base64::Engine;
    let b64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = b64.encode(r#"{"role":"service_role"}"#);
    for (header, expected) in [
        (r#"{"alg":"none"}"#, TokenError::Algorithm),
        (r#"{"alg":"None"}"#, TokenError::Algorithm),
        (r#"{"alg":"ES256"}"#, TokenError::NoSuitableKey),
        (r#"{"alg":"HS512"}"#, TokenError::NoSuitableKey),
        (r#"{"alg":"HS256","kid":"unknown"}"#, TokenError::Signature),
    ] {
        let token = format!("{}.{payload}.{}", b64.encode(header), b64.encode("forged"));
        assert_eq!(verify(&token, &project("secret"), NOW, 0), Err(expected), "{header}");
    }
}

#[test]
fn a_token_that_names_another_project_is_foreign() {
    assert_eq!(check(&json!({"ref": "other", "role": "anon"})), Err(TokenError::Foreign));
    assert!(check(&json!({"ref": "default", "role": "anon"})).is_ok());
}

#[test]
fn what_is_not_a_token_says_so() {
    let project = project("secret");

    assert_eq!(verify("", &project, NOW, 0), Err(TokenError::Parts(1)));
    assert_eq!(verify("a.b", &project, NOW, 0), Err(TokenError::Parts(2)));
    assert_eq!(verify("a.b.c", &project, NOW, 0), Err(TokenError::Malformed));
    assert_eq!(check(&json!([1, 2])), Err(TokenError::Malformed));
    let long = format!("a.{}.c", "b".repeat(MAX_TOKEN_BYTES));
    assert_eq!(verify(&long, &project, NOW, 0), Err(TokenError::Malformed));
}

#[test]
fn settings_carry_the_effective_role_and_leave_out_cookies_and_our_headers() {
    let mut headers = HeaderMap::new();
    headers.insert("cookie", "a=1; b=2".parse().unwrap());
    headers.insert("x-meshbase-project", "default".parse().unwrap());
    headers.append("accept", "text/plain".parse().unwrap());
    headers.append("accept", "text/html".parse().unwrap());

    let settings = session_settings(&Caller::anonymous(), &Method::GET, "/todos", &headers);

    assert_eq!(
        settings,
        [
            ("role", "anon".to_owned()),
            ("request.jwt.claims", r#"{"role":"anon"}"#.to_owned()),
            ("request.method", "GET".to_owned()),
            ("request.path", "/todos".to_owned()),
            ("request.headers", r#"{"accept":"text/plain, text/html"}"#.to_owned()),
            ("request.cookies", r#"{"a":"1","b":"2"}"#.to_owned()),
        ]
    );
}

#[test]
fn a_token_without_a_key_id_is_checked_with_a_key_without_one() {
    // RFC 7515, appendix A.3
    let token = "eyJhbGciOiJFUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let verified = |id: Option<&str>| {
        let mut key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        });
        if let Some(id) = id {
            key["kid"] = json!(id);
        }
        let mut project = project("secret");
        project.keys = Keys { public: vec![serde_json::from_value(key).unwrap()], ..Keys::default() };
        verify(token, &project, 1_300_819_379, 0)
    };

    assert_eq!(verified(None).unwrap()["iss"], "joe");
    assert_eq!(verified(Some("k")), Err(TokenError::NoSuitableKey));
}
