//! The service contract (docs/service-contract.md) against each service as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::serve::{Listener, serve};
use base::{Body, Clock, Random, Request, Response, header};
use common::record::Recorder;
use common::service::Tasks;
use common::{Dependencies, Outbound};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::process::{PATIENCE, folder, wait_until};
use crate::support::{Actor, App, binary, run};

/// A program to check: its identity on the mesh, how it is started, and any path of it.
struct Program {
    name: &'static str,
    command: Command,
    path: &'static str,
}

/// Ours, and the one that `MESHBASE_CONTRACT_COMMAND` names.
fn programs() -> Vec<Program> {
    let ours = [("auth", "/settings"), ("data", "/t"), ("storage", "/bucket")];
    let mut programs: Vec<Program> = ours.map(|(name, path)| Program { path, ..Program::ours(name) }).into();
    if let Some(program) = std::env::var_os("MESHBASE_CONTRACT_COMMAND") {
        programs.push(Program { name: "data", command: Command::new(program), path: "/" });
    }
    programs
}

impl Program {
    fn ours(name: &'static str) -> Program {
        let mut command = Command::new(binary());
        command.arg(name);
        Program { name, command, path: "/" }
    }
}

/// A service as a container runs it, with a stand-in for its sidecar.
struct Lone {
    child: Child,
    calls: Outbound,
    app: App,
    name: &'static str,
    /// The headers of every call it made.
    made: Calls,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

type Calls = Arc<Mutex<Vec<http::HeaderMap>>>;

impl Lone {
    async fn start(program: Program) -> Lone {
        let Program { name, mut command, .. } = program;
        let (folder, app) = (folder(), App::new().await);
        let (socket, outbound) = (folder.path().join("serve.sock"), folder.path().join("outbound.sock"));
        let stop = CancellationToken::new();
        let made = Calls::default();
        sidecar(name, &app, &outbound, made.clone(), stop.clone());
        let child = command
            .arg("--serve")
            .arg(format!("unix:{}", socket.display()))
            .arg("--outbound")
            .arg(&outbound)
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        wait_until("the service serves", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Lone { child, calls: Outbound::unix(socket), app, name, made, stop, _folder: folder }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(http::HeaderName, &str)]) -> Response {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{}.mesh{path}", self.name).parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        self.calls.send(request).await.expect("the service answers")
    }

    fn project(&self) -> String {
        self.app.project.reference.to_string()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stop.cancel();
    }
}

/// What the sidecar's outbound socket does for `service`: it adds the identity and finds the platform.
fn sidecar(service: &'static str, app: &App, socket: &Path, made: Calls, stop: CancellationToken) {
    let deps = Dependencies {
        outbound: Outbound::unix(PathBuf::from("/nonexistent")),
        clock: Clock::system(),
        random: Random::system(),
        state_dir: PathBuf::from("/nonexistent"),
        recorder: Recorder::none(),
        tasks: Tasks::default(),
    };
    let platform = platform::start(app.stack.up.platform.clone(), &deps).router;
    let with_identity = tower::service_fn(move |mut request: Request| {
        made.lock().unwrap().push(request.headers().clone());
        request.headers_mut().insert(header::PEER, HeaderValue::from_static(service));
        platform.clone().oneshot(request)
    });
    let listener = Listener::unix(socket).unwrap();
    tokio::spawn(serve(listener, with_identity, stop, Duration::from_secs(1)));
}

#[test]
fn a_service_is_ready_without_any_header() {
    run(async {
        for program in programs() {
            let shown = format!("{:?}", program.command);
            let lone = Lone::start(program).await;
            assert_eq!(lone.send(Method::GET, "/readyz", &[]).await.status(), StatusCode::OK, "{shown}");
        }
    });
}

#[test]
fn a_request_that_names_no_project_or_an_unknown_one_gets_nothing() {
    run(async {
        for program in programs() {
            let (shown, path) = (format!("{:?}", program.command), program.path);
            let lone = Lone::start(program).await;
            let key = format!("Bearer {}", lone.app.access.service_role_key.expose());
            let token = (http::header::AUTHORIZATION, key.as_str());

            let none = lone.send(Method::GET, path, std::slice::from_ref(&token)).await;
            assert_eq!(none.status(), StatusCode::BAD_REQUEST, "{shown}");
            let unknown = lone.send(Method::GET, path, &[token.clone(), (header::PROJECT, "nobody")]).await;
            assert!(unknown.status().is_client_error(), "{shown}: {}", unknown.status());
            let nonsense = lone.send(Method::GET, path, &[token.clone(), (header::PROJECT, "../x")]).await;
            assert!(nonsense.status().is_client_error(), "{shown}: {}", nonsense.status());

            let named = lone.send(Method::GET, path, &[token, (header::PROJECT, &lone.project())]).await;
            assert!(!named.status().is_server_error(), "{shown}: {}", named.status());
        }
    });
}

#[test]
fn what_is_for_some_services_is_for_no_other() {
    run(async {
        for (service, path, peers) in [
            ("auth", "/internal/revocations", ["data", "storage"]),
            ("storage", "/internal/usage", ["platform"; 2]),
        ] {
            let lone = Lone::start(Program::ours(service)).await;
            let project = lone.project();
            let key = format!("Bearer {}", lone.app.access.service_role_key.expose());
            let asked = async |peer: Option<&str>| {
                let mut headers =
                    vec![(header::PROJECT, project.as_str()), (http::header::AUTHORIZATION, key.as_str())];
                headers.extend(peer.map(|peer| (header::PEER, peer)));
                let answer = lone.send(Method::GET, path, &headers).await;
                // each API has a form of its own for errors
                if answer.status().is_success() {
                    return String::new();
                }
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                String::from_utf8_lossy(&body).into_owned()
            };
            for peer in ["gateway", "auth", "data", "storage", "platform", "web", ""] {
                let said = asked(Some(peer)).await;
                let is_let_in = said.is_empty();
                assert_eq!(is_let_in, peers.contains(&peer), "{service}{path} for {peer:?}: {said}");
                assert!(is_let_in || said.contains("may ask"), "{service}{path} for {peer:?}: {said}");
            }
            assert!(asked(None).await.contains("may ask"), "{service}{path} for nobody");
        }
    });
}

#[test]
fn without_auth_the_database_says_which_sessions_ended() {
    run(async {
        for (service, path, refused) in [("data", "/t", 401), ("storage", "/bucket", 400)] {
            // the stand-in knows the platform alone
            let lone = Lone::start(Program::ours(service)).await;
            lone.app.sql("create table public.t ()").await;
            let (ann, bob) = (lone.app.user("ann").await, lone.app.user("bob").await);
            let project = lone.project();
            let status = async |actor: &Actor| {
                let token = format!("Bearer {}", actor.token.as_deref().unwrap());
                let headers =
                    [(http::header::AUTHORIZATION, token.as_str()), (header::PROJECT, project.as_str())];
                lone.send(Method::GET, path, &headers).await.status().as_u16()
            };
            assert_eq!([status(&ann).await, status(&bob).await], [200, 200], "{service}");

            let is_refused = async |actor: &Actor| {
                let begun = Instant::now();
                while status(actor).await != refused {
                    assert!(begun.elapsed() < PATIENCE, "{service} lets in whose session has ended");
                }
            };
            lone.app.sql(&format!("delete from auth.sessions where user_id = '{}'", ann.id)).await;
            is_refused(&ann).await;
            assert_eq!(status(&bob).await, 200, "{service}");
            lone.app.sql("truncate auth.sessions cascade").await;
            is_refused(&bob).await;
        }
    });
}

#[test]
fn a_deadline_that_has_passed_ends_the_request() {
    run(async {
        let lone = Lone::start(Program::ours("data")).await;
        lone.app.sql("create function public.nap() returns void language sql as 'select pg_sleep(20)'").await;
        let key = format!("Bearer {}", lone.app.access.service_role_key.expose());
        let project = lone.project();

        let headers = [
            (http::header::AUTHORIZATION, key.as_str()),
            (header::PROJECT, &project),
            (header::DEADLINE, "300"),
        ];
        let response = lone.send(Method::POST, "/rpc/nap", &headers).await;

        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    });
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_with_zero() {
    run(async {
        let mut lone = Lone::start(Program::ours("data")).await;
        let nap = "create function public.nap() returns int language sql as
                   'select pg_advisory_xact_lock(42); select 1'";
        lone.app.sql(nap).await;
        // the test holds the lock: the request is in flight until the test lets go
        let mut holder = lone.app.connect("admin").await;
        sqlx::raw_sql("select pg_advisory_lock(42)").execute(&mut holder).await.unwrap();
        let key = format!("Bearer {}", lone.app.access.service_role_key.expose());
        let project = lone.project();
        let headers = [(http::header::AUTHORIZATION, key.as_str()), (header::PROJECT, project.as_str())];

        let in_flight = lone.send(Method::POST, "/rpc/nap", &headers);
        let stop = async {
            let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
            while lone.app.value(waiting).await != serde_json::json!(1) {}
            lone.signal(rustix::process::Signal::TERM);
            sqlx::raw_sql("select pg_advisory_unlock(42)").execute(&mut holder).await.unwrap();
        };
        let (response, ()) = tokio::join!(in_flight, stop);

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(lone.child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn calls_for_a_request_carry_its_id_trace_project_and_time() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    run(async {
        for program in programs() {
            let (name, path) = (program.name, program.path);
            let lone = Lone::start(program).await;
            let (project, trace) = (lone.project(), http::HeaderName::from_static("traceparent"));

            let headers = [
                (header::PROJECT, project.as_str()),
                (header::REQUEST_ID, "mine-42"),
                (trace.clone(), TRACE),
                (header::DEADLINE, "5000"),
            ];
            lone.send(Method::GET, path, &headers).await;

            let made = lone.made.lock().unwrap();
            let call = made.iter().find(|call| call.contains_key(header::REQUEST_ID));
            let call =
                call.unwrap_or_else(|| panic!("{name} asked for the project without the request's id"));
            assert_eq!(call[header::REQUEST_ID], "mine-42", "{name}");
            assert_eq!(call[trace], TRACE, "{name}");
            assert_eq!(call[header::PROJECT], project.as_str(), "{name}");
            let left: u64 = call[header::DEADLINE].to_str().unwrap().parse().unwrap();
            assert!((1..=5000).contains(&left), "{name}: {left}");
        }
    });
}
