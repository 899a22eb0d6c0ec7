//! What no client should send: the originals' error shapes, never a 5xx, nothing internal, nothing lost.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Actor, App, Call, at, run};

const SCHEMA: &str = "
    create table public.notes (id int primary key, owner uuid default auth.uid(), body text, extra jsonb);
    create policy own on public.notes for all to authenticated using (owner = auth.uid());
    insert into storage.buckets (id, name, public) values ('files', 'files', false);
    create policy own on storage.objects for all to authenticated using (owner_id = auth.uid()::text);
    create function public.echo(value text) returns text language sql immutable as 'select value';
";

/// Words that would tell something internal.
const INTERNALS: [&str; 7] = ["panicked", "src/", ".rs:", "sqlx", "tokio", "/tmp", "0x"];

async fn expect(what: &str, call: Call, status: u16, code: &str) {
    let reply = call.send().await;
    let text = reply.text();
    assert_eq!(reply.status.as_u16(), status, "{what}: {text}");
    for word in INTERNALS {
        assert!(!text.contains(word), "{what} tells {word}: {text}");
    }
    let json = reply.json();
    let shown = [at(&json, "/code"), at(&json, "/error_code"), at(&json, "/statusCode"), at(&json, "/error")];
    assert!(shown.contains(&&json!(code)), "{what}: {text}");
}

fn deep(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

#[test]
fn data_answers_bad_input_as_the_original_does() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let get = |path: &str| ann.get(&format!("/rest/v1/{path}"));
        let post = |path: &str, body: String| {
            ann.post(&format!("/rest/v1/{path}")).header("content-type", "application/json").body(body)
        };
        for (what, call, status, code) in [
            ("unknown table", get("nothing"), 404, "PGRST205"),
            ("unknown function", get("rpc/nothing"), 404, "PGRST202"),
            ("unknown path", get("a/b/c"), 404, "PGRST125"),
            ("unknown column", get("notes?nothing=eq.1"), 400, "42703"),
            ("unknown column selected", get("notes?select=nothing"), 400, "42703"),
            ("unknown operator", get("notes?id=near.1"), 400, "PGRST100"),
            ("no operator", get("notes?id=1"), 400, "PGRST100"),
            ("unknown relation", get("notes?select=*,nothing(*)"), 400, "PGRST200"),
            ("wrong type", get("notes?id=eq.x"), 400, "22P02"),
            ("number out of range", get("notes?id=eq.99999999999999999999"), 400, "22003"),
            ("bad order", get("notes?order=id.sideways"), 400, "PGRST100"),
            ("unknown schema", get("notes").header("accept-profile", "auth"), 406, "PGRST106"),
            ("unknown media type", get("notes").header("accept", "application/unknown"), 406, "PGRST107"),
            (
                "not one row",
                get("notes").header("accept", "application/vnd.pgrst.object+json"),
                406,
                "PGRST116",
            ),
            ("malformed JSON", post("notes", "{".to_owned()), 400, "PGRST102"),
            ("empty body", post("notes", String::new()), 400, "PGRST102"),
            ("deep JSON", post("notes", deep(100_000)), 400, "PGRST102"),
            ("unknown key", post("notes", r#"{"nothing": 1}"#.to_owned()), 400, "PGRST204"),
            ("another's row", post("notes", r#"{"id": 1, "owner": null}"#.to_owned()), 403, "42501"),
            ("NUL in JSON", post("notes", r#"{"id": 1, "body": "a\u0000b"}"#.to_owned()), 400, "22P05"),
            (
                "unknown method",
                ann.call(Method::from_bytes(b"BREW").unwrap(), "/rest/v1/notes"),
                405,
                "PGRST117",
            ),
        ] {
            expect(what, call, status, code).await;
        }
        for (what, call) in [
            ("NUL in the query", get("notes?body=eq.a%00b")),
            ("no UTF-8 in the query", get("notes?body=eq.%ff")),
            ("NUL in an argument", get("rpc/echo?value=%00")),
            ("deep logic", get(&format!("notes?and={}id.eq.1{}", "(and".repeat(5_000), ")".repeat(5_000)))),
            ("no UTF-8 in the body", post("notes", String::new()).body(b"{\"body\": \"\xff\"}".to_vec())),
        ] {
            let reply = call.send().await;
            assert!(reply.status.is_client_error(), "{what}: {} {}", reply.status, reply.text());
        }
        let large = post("notes", format!(r#"{{"id": 1, "body": "{}"}}"#, "x".repeat(12 << 20))).send().await;
        assert_eq!(large.status, 413, "{}", large.text());
        assert_eq!(ann.rows("notes").await, json!([]), "nothing of it was kept");
    });
}

/// The token with another character in its signature.
fn changed(token: &str) -> String {
    let at = token.len() - 20;
    let other = if token.as_bytes()[at] == b'x' { 'y' } else { 'x' };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

#[test]
fn tokens_that_prove_nothing_are_refused_by_every_service() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let sign = |claims: Value, secret: &str| {
            encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes()))
                .unwrap()
        };
        let secret = app.jwt_secret().expose();
        let token = ann.token.clone().unwrap();
        let claims = json!({"sub": ann.id, "role": "service_role", "exp": 1});
        for (what, token) in [
            ("expired", sign(claims.clone(), secret)),
            ("textual exp", sign(json!({"role": "service_role", "exp": "9999999999"}), secret)),
            ("foreign secret", sign(json!({"role": "service_role"}), "another secret of at least 32 bytes")),
            ("foreign project", sign(json!({"role": "service_role", "ref": "other"}), secret)),
            ("alg none", "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.".to_owned()),
            ("changed", changed(&token)),
            ("no signature", token.rsplit_once('.').unwrap().0.to_owned() + "."),
            ("nonsense", "a.b.c".to_owned()),
        ] {
            let forged = app.anon().with_token(&token);
            let data = forged.get("/rest/v1/notes").send().await;
            assert_eq!(data.status, 401, "{what}: {}", data.text());
            let auth = forged.get("/auth/v1/user").send().await;
            assert_eq!(auth.status, 403, "{what}: {}", auth.text());
            let admin = forged.get("/auth/v1/admin/users").send().await;
            assert!(matches!(admin.status.as_u16(), 401 | 403), "{what}: {}", admin.text());
            let storage = forged.get("/storage/v1/bucket").send().await;
            assert_eq!(storage.status, 400, "{what}: {}", storage.text());
            assert_eq!(at(&storage.json(), "/statusCode"), &json!("403"), "{what}: {}", storage.text());
        }
    });
}

#[test]
fn auth_answers_bad_input_as_the_original_does() {
    run(async {
        let app = App::new().await;
        let anon = app.anon();
        let post = |path: &str, body: String| {
            let call = anon.post(&format!("/auth/v1/{path}")).header("content-type", "application/json");
            call.header("x-supabase-api-version", "2024-01-01").body(body)
        };
        let password = "correct horse";
        for (what, call, status, code) in [
            ("malformed JSON", post("signup", "{".to_owned()), 400, "bad_json"),
            ("deep JSON", post("signup", deep(100_000)), 400, "bad_json"),
            (
                "an address that is none",
                post("signup", json!({"email": "x", "password": password}).to_string()),
                400,
                "validation_failed",
            ),
            (
                "a short password",
                post("signup", json!({"email": "a@example.com", "password": "x"}).to_string()),
                422,
                "weak_password",
            ),
            (
                "a long password",
                post("signup", json!({"email": "a@example.com", "password": "x".repeat(73)}).to_string()),
                400,
                "validation_failed",
            ),
            ("unknown grant", post("token?grant_type=magic", "{}".to_owned()), 400, "validation_failed"),
            (
                "nobody",
                post(
                    "token?grant_type=password",
                    json!({"email": "a@example.com", "password": password}).to_string(),
                ),
                400,
                "invalid_credentials",
            ),
            (
                "a token that is none",
                post("token?grant_type=refresh_token", json!({"refresh_token": "x"}).to_string()),
                400,
                "refresh_token_not_found",
            ),
            (
                "a wrong code",
                post(
                    "verify",
                    json!({"type": "signup", "email": "a@example.com", "token": "123456"}).to_string(),
                ),
                403,
                "otp_expired",
            ),
        ] {
            expect(what, call, status, code).await;
        }
        for (what, body) in [
            ("NUL in an address", json!({"email": "a\u{0}@example.com", "password": password})),
            ("NUL in a password", json!({"email": "a@example.com", "password": "correct\u{0}horse"})),
            ("NUL in data", json!({"email": "a@example.com", "password": password, "data": {"x": "\u{0}"}})),
            ("a number as address", json!({"email": 1, "password": password})),
            ("a list", json!([1, 2])),
            ("null", json!(null)),
        ] {
            let reply = post("signup", body.to_string()).send().await;
            assert!(reply.status.is_client_error(), "{what}: {} {}", reply.status, reply.text());
        }
        for path in ["admin/users/not-a-uuid", "admin/users/00000000-0000-0000-0000-000000000000"] {
            app.service().get(&format!("/auth/v1/{path}")).send().await.expect(404);
        }
        app.nobody().get("/auth/v1/user").send().await.expect(401);
        assert_eq!(app.value("select count(*) from auth.users").await, json!(0), "nobody was made");
    });
}

#[test]
fn storage_answers_bad_input_as_the_original_does() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        upload(&ann, "kept.txt").await.expect(200);
        for name in
            ["%2e%2e", "a/%2e%2e/b", "..%2f..%2fetc", "a%00b", "a%5c..%5cb", "%ff", &"x".repeat(2_000)]
        {
            let reply = upload(&ann, name).await;
            assert!(reply.status.is_client_error(), "{name}: {} {}", reply.status, reply.text());
        }
        for (what, call, code) in [
            ("unknown bucket", ann.post("/storage/v1/object/nothing/a.txt").body("x"), "404"),
            ("unknown object", ann.get("/storage/v1/object/files/nothing"), "404"),
            ("another's object", bob.get("/storage/v1/object/files/kept.txt"), "404"),
            (
                "another's, signed",
                bob.post("/storage/v1/object/sign/files/kept.txt").json(json!({"expiresIn": 9})),
                "404",
            ),
            ("taken name", ann.post("/storage/v1/object/files/kept.txt").body("x"), "409"),
            (
                "malformed JSON",
                ann.post("/storage/v1/object/list/files")
                    .header("content-type", "application/json")
                    .body("{"),
                "400",
            ),
            (
                "a private bucket as public",
                app.nobody().get("/storage/v1/object/public/files/kept.txt"),
                "404",
            ),
            (
                "a made-up signature",
                app.nobody().get("/storage/v1/object/sign/files/kept.txt?token=a.b.c"),
                "400",
            ),
        ] {
            expect(what, call, 400, code).await;
        }
        bob.delete("/storage/v1/object/files")
            .json(json!({"prefixes": ["kept.txt"]}))
            .send()
            .await
            .expect(200);
        assert_eq!(ann.get("/storage/v1/object/files/kept.txt").send().await.expect(200).text(), "content");
    });
}

async fn upload(actor: &Actor, name: &str) -> crate::support::Reply {
    actor.post(&format!("/storage/v1/object/files/{name}")).body("content").send().await
}
