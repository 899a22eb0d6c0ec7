//! A service is restarted instance by instance under load, and nobody notices.

use std::path::Path;
use std::time::Duration;

use super::support::{Authority, Proxy, client, failures, load};
use crate::support::{process::folder, run};

/// A server in a language that is not ours.
const PROGRAM: &str = "
import http.server, os, signal, socketserver, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('content-length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    do_POST = do_GET
    def log_message(self, *rest): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
";

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn instance(authority: &Authority, script: &Path, inbound: u16) -> Proxy {
    let program = free_port().to_string();
    let config = format!(
        "
trust_domain: test.local
services:
  web: {{callers: [caller], routes: [{{kind: unary, deadline_ms: 5000}}]}}
  caller: {{}}
sidecar:
  inbound: 127.0.0.1:{inbound}
  lame_duck_ms: 100
  {}
  workloads: [{{service: web, program: '127.0.0.1:{program}', ready: tcp, {}}}]
",
        authority.roots(),
        authority.identity("web"),
    );
    Proxy::beside(&config, &["python3", script.to_str().unwrap(), &program])
}

fn check(rounds: usize, seconds: u64) {
    run(async {
        let (folder, authority) = (folder(), Authority::new());
        let script = folder.path().join("program.py");
        std::fs::write(&script, PROGRAM).unwrap();
        let ports = [free_port(), free_port(), free_port()];
        let mut instances: Vec<Option<Proxy>> =
            ports.iter().map(|port| Some(instance(&authority, &script, *port))).collect();
        let endpoints: Vec<String> =
            ports.iter().map(|port| format!("{{address: '127.0.0.1:{port}'}}")).collect();
        let socket = folder.path().join("out.sock");
        let _caller = Proxy::start(&format!(
            "
trust_domain: test.local
services:
  web:
    discovery: {{static: [{}]}}
    routes: [{{kind: unary, deadline_ms: 5000}}]
  caller: {{}}
sidecar:
  {}
  workloads: [{{service: caller, outbound: [{{listen: 'unix:{}'}}], {}}}]
",
            endpoints.join(", "),
            authority.roots(),
            socket.display(),
            authority.identity("caller"),
        ));
        let calls = client(&socket);
        let loading =
            tokio::spawn(
                async move { load(&calls, "http://web.mesh/", 200, Duration::from_secs(seconds)).await },
            );

        let mut restarts = 0;
        for _ in 0..rounds {
            for (at, port) in ports.iter().enumerate() {
                let old = instances[at].take().expect("it is put back");
                let (code, new) = tokio::task::block_in_place(|| {
                    let code = old.stop();
                    (code, instance(&authority, &script, *port))
                });
                assert_eq!(code, Some(0), "a proxy that is told to stop ends well");
                instances[at] = Some(new);
                restarts += 1;
            }
        }

        assert!(!loading.is_finished(), "the load outlasts the restarts");
        let samples = loading.await.unwrap();
        println!("{restarts} restarts, {} of {} failed", failures(&samples), samples.len());
        assert_eq!(failures(&samples), 0);
    });
}

#[test]
fn a_rolling_restart_fails_no_request() {
    check(1, 12);
}

#[test]
#[ignore = "a minute"]
fn rolling_restarts_for_a_minute_fail_no_request() {
    check(5, 60);
}
