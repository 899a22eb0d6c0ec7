//! The data service in the place of `postgrest`: its file, its variables, one project.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command};

use base::{Body, Request, header};
use common::Outbound;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::process::{folder, wait_until};
use crate::support::{App, binary, run};

const SCHEMA: &str = "\
create schema api;
create table api.notes (id int primary key, owner text);
insert into api.notes values (1, 'ann'), (2, 'bob');
alter table api.notes enable row level security;
create policy own on api.notes to authenticated using (owner = current_setting('request.jwt.claims')::json ->> 'sub');
grant usage on schema api to anon, authenticated;
grant select on api.notes to anon, authenticated;
create policy one on api.notes to anon using (id = 1);
create function api.host() returns text language sql as $$ select current_setting('app.settings.host') $$;
grant execute on function api.host() to anon;
";

const SECRET: &str = "reallyreallyreallyreallyverysafe";

struct Lone(Child, Outbound);

impl Lone {
    fn start(file: &Path, socket: &Path, variables: &[(&str, &str)]) -> Lone {
        let mut command = Command::new(binary());
        let log = std::fs::File::create(file.with_extension("log")).unwrap();
        command.args(["data", "--config"]).arg(file).envs(variables.iter().copied()).stderr(log);
        let child = command.spawn().unwrap();
        wait_until("it serves", || std::os::unix::net::UnixStream::connect(socket).is_ok());
        Lone(child, Outbound::unix(socket.to_owned()))
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (StatusCode, Value) {
        let (status, _, body) = self.answer(path, token).await;
        (status, body)
    }

    async fn answer(&self, path: &str, token: Option<&str>) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = format!("http://data.mesh{path}").parse().unwrap();
        request.headers_mut().insert("x-trace", "t-1".parse().unwrap());
        // whatever a stranger says of projects
        request.headers_mut().insert(header::PROJECT, "another".parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let answer = self.1.send(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or_default())
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn token(claims: Value, secret: &str) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[test]
fn a_file_and_variables_are_enough() {
    run(async {
        let (app, folder) = (App::with(SCHEMA).await, folder());
        let (file, socket) = (folder.path().join("postgrest.conf"), folder.path().join("data.sock"));
        let url = app.login("data").await.url();
        std::fs::write(
            &file,
            format!(
                "db-uri = \"{}\"\ndb-schema = \"public\" # a variable says otherwise\ndb-anon-role = \"anon\"\n\
                 jwt-secret = \"{SECRET}\"\nserver-unix-socket = \"{}\"\napp.settings.host = \"$(NAMED)\"\n",
                url.expose(),
                socket.display()
            ),
        )
        .unwrap();
        let lone = Lone::start(&file, &socket, &[("PGRST_DB_SCHEMAS", "api"), ("NAMED", "here")]);

        let anonymous = lone.get("/notes?select=id", None).await;
        assert_eq!(anonymous, (StatusCode::OK, json!([{ "id": 1 }])));
        let bob =
            token(json!({ "role": "authenticated", "sub": "bob", "session_id": app.project.id }), SECRET);
        let own = lone.get("/notes?select=id", Some(&bob)).await;
        assert_eq!(own, (StatusCode::OK, json!([{ "id": 2 }])), "nobody is there to ask about sessions");
        assert_eq!(lone.get("/rpc/host", None).await, (StatusCode::OK, json!("here")));
        let forged = token(json!({ "role": "authenticated" }), "another secret of at least 32 bytes");
        assert_eq!(lone.get("/notes", Some(&forged)).await.0, StatusCode::UNAUTHORIZED);
        drop(lone);
        let _ = std::fs::remove_file(&socket);

        let closed = Lone::start(&file, &socket, &[("PGRST_DB_ANON_ROLE", ""), ("NAMED", "here")]);
        let (status, body) = closed.get("/notes", None).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("PGRST302")));
    });
}

#[test]
fn what_it_tells_of_itself_is_as_the_file_says() {
    run(async {
        let (app, folder) = (App::with(SCHEMA).await, folder());
        let (file, socket) = (folder.path().join("postgrest.conf"), folder.path().join("data.sock"));
        let url = app.login("data").await.url();
        let text = format!(
            "db-uri = \"{}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\nserver-unix-socket = \"{}\"\n\
             jwt-secret = \"{SECRET}\"\njwt-role-claim-key = \".app.roles[0]\"\n\
             client-error-verbosity = \"minimal\"\nserver-trace-header = \"X-Trace\"\nserver-timing-enabled = true\napp.settings.secret = \"s3cret\"\nserver-host = \"127.0.0.1\"\nadmin-server-port = 0\n",
            url.expose(),
            socket.display()
        );
        std::fs::write(&file, text).unwrap();
        let lone = Lone::start(&file, &socket, &[]);
        let log = std::fs::read_to_string(file.with_extension("log")).unwrap();
        let (_, admin) = log.split_once("telling of itself address=").expect("it says where");
        let admin = admin.split_whitespace().next().unwrap_or_default().to_owned();

        let (status, headers, _) = lone.answer("/notes", None).await;
        let timing = headers["server-timing"].to_str().unwrap();
        let stages: Vec<&str> = timing.split(", ").filter_map(|stage| stage.split(";dur=").next()).collect();
        assert_eq!(
            (status, &*stages),
            (StatusCode::OK, &["jwt", "parse", "plan", "transaction", "response"][..])
        );
        assert_eq!(headers["x-trace"], "t-1");

        let told = |path: &str| {
            let mut stream = std::net::TcpStream::connect(&admin).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
            body.to_owned()
        };
        told("/live");
        told("/ready");
        let cache: Value = serde_json::from_str(&told("/schema_cache")).unwrap();
        assert_eq!(cache["tables"][0]["name"], json!({"schema": "api", "name": "notes"}));
        let config: Value = serde_json::from_str(&told("/config")).unwrap();
        assert_eq!((&config["schemas"], &config["app_settings"]), (&json!(["api"]), &json!({"secret": "…"})));
        let metrics = told("/metrics");
        assert!(metrics.contains("pgrst_schema_cache_loads_total{status=\"SUCCESS\"} "), "{metrics}");

        let bob = token(json!({ "app": {"roles": ["authenticated"]}, "sub": "bob" }), SECRET);
        let own = lone.get("/notes?select=id", Some(&bob)).await;
        assert_eq!(own, (StatusCode::OK, json!([{ "id": 2 }])), "the role is where the file says");

        let (status, headers, body) = lone.answer("/note", None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let brief =
            json!({"code": "PGRST205", "message": "Could not find the table 'api.note' in the schema cache"});
        assert_eq!((&headers["x-trace"], body), (&"t-1".parse().unwrap(), brief));
    });
}

#[test]
fn what_of_a_file_cannot_be_is_said() {
    let folder = folder();
    let file = folder.path().join("postgrest.conf");
    for (text, expected) in [
        ("db-uri\n", "postgrest.conf: line 1: it is not `key = value`"),
        ("server-port = \"x\"\n", "server-port: x is no number that it may be"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = Command::new(binary()).args(["data", "--config"]).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(expected), "{told}");
    }
}
