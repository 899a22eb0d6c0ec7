//! Any valid configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;

/// The services of every configuration: `h` speaks HTTP, `t` bytes.
const HTTP: &str = "h";
const TCP: &str = "t";

fn time() -> impl Strategy<Value = Duration> {
    (1..=604_800_000_u64).prop_map(Duration::from_millis)
}

fn growing() -> impl Strategy<Value = (Duration, Duration)> {
    (time(), time()).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn path() -> impl Strategy<Value = String> {
    "/[a-zA-Z0-9._~%{}*$é-]{0,12}(/[a-z]{0,4}){0,2}"
        .prop_filter("a template reads braces", |p| !p.contains(['{', '}']))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[a-z]{1,6}",
        "(?s).{0,8}",
        select(vec!["*", "null", "~", "1", "true", "", " a", "a: b"]).prop_map(str::to_owned)
    ]
}

fn wanted() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("x-[a-z]{1,6}", text(), 0..3)
}

fn sent() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("x-[a-z]{1,6}", "[ -~]{0,10}", 0..3)
}

fn name() -> impl Strategy<Value = HeaderName> {
    "x-[a-z]{1,6}".prop_map(|name| name.parse().unwrap())
}

fn pairs() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    sent().prop_map(|pairs| pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect())
}

fn edit() -> impl Strategy<Value = Edit> {
    (vec(name(), 0..3), pairs(), pairs()).prop_map(|(remove, set, add)| Edit { remove, set, add })
}

fn hash_key() -> impl Strategy<Value = HashKey> {
    prop_oneof![
        "x-[a-z]{1,6}".prop_map(HashKey::Header),
        "[a-z]{1,6}".prop_map(HashKey::Cookie),
        Just(HashKey::Project),
        Just(HashKey::Identity),
        Just(HashKey::Path),
    ]
}

fn matches() -> impl Strategy<Value = Match> {
    let form = prop_oneof![
        Just(Match::default()),
        path().prop_map(|prefix| Match { prefix: Some(prefix), ..Match::default() }),
        path().prop_map(|exact| Match { exact: Some(exact), ..Match::default() }),
        "(/[a-z]{1,3}|/\\{[a-z]{1,3}\\}){1,3}(/\\{\\*[a-z]\\})?".prop_map(|template| Match {
            template: Some(Template::parse(&template).unwrap()),
            ..Match::default()
        }),
    ];
    let methods = vec(select(vec![Method::GET, Method::POST, Method::from_bytes(b"REPORT").unwrap()]), 0..3);
    let query = btree_map("[a-z]{1,4}", text(), 0..3);
    let host = of(select(vec!["a.example.com", "*.example.com", "localhost:8080", "10.0.0.1", "[::1]:80"]));
    (form, methods, wanted(), query, host).prop_map(|(form, methods, headers, query, host)| Match {
        methods,
        headers,
        query,
        host: host.map(str::to_owned),
        ..form
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        time().prop_map(|deadline| Kind::Unary { deadline }),
        (time(), time()).prop_map(|(response, idle)| Kind::Stream { response, idle }),
        (time(), time(), time()).prop_map(|(response, idle, life)| Kind::Upgrade { response, idle, life }),
    ]
}

fn fallback() -> impl Strategy<Value = Fallback> {
    prop_oneof![
        (200..600_u16, sent(), text()).prop_map(|(status, headers, body)| Fallback::Static {
            status,
            headers,
            body
        }),
        (time(), 1..=1_073_741_824_usize, vec(name(), 0..3))
            .prop_map(|(max_age, max_bytes, vary)| Fallback::Stale(Stale { max_age, max_bytes, vary })),
        Just(Fallback::Service("b".to_owned())),
    ]
}

fn traffic() -> impl Strategy<Value = (Option<Split>, Option<Mirror>, Option<Rewrite>, Option<Fault>)> {
    let backend = |service: &str, weight| Backend { service: service.to_owned(), weight };
    let split = (1..9_u32, 0..9_u32, of(hash_key()))
        .prop_map(move |(a, b, sticky)| Split { to: vec![backend(HTTP, a), backend("b", b)], sticky });
    let mirror = (0.0..=100.0).prop_map(|percent| Mirror { service: "b".to_owned(), percent });
    let rewrite = "/[a-z]{0,5}".prop_map(|path| Rewrite { path: Some(path), host: None });
    let fault = (0.0..=100.0, wanted(), time(), of(200..600_u16))
        .prop_map(|(percent, headers, delay, abort)| Fault { percent, headers, delay: Some(delay), abort });
    (of(split), of(mirror), of(rewrite), of(fault))
}

fn route() -> impl Strategy<Value = Route> {
    let retry =
        (0..=10_u32, time()).prop_map(|(attempts, backoff)| Retry { attempts, per_try: None, backoff });
    let seen = ("[ -~é]{1,9}", matches(), kind(), of(any::<bool>()), retry);
    (seen, traffic(), edit(), edit(), of(fallback()), any::<bool>()).prop_map(
        |(
            (name, mut matches, kind, idempotent, retry),
            (split, mirror, rewrite, fault),
            to,
            from,
            fallback,
            hedged,
        )| {
            matches.query.insert("q".to_owned(), "1".to_owned());
            let (hedge, retry) = match kind {
                Kind::Unary { deadline } if hedged && deadline > Duration::from_millis(1) => {
                    let after = Duration::from_millis(1);
                    (Some(Hedge { after }), Retry { per_try: Some(deadline), ..retry })
                }
                _ => (None, retry),
            };
            Route {
                name,
                matches,
                kind,
                idempotent,
                watch: hedged && matches!(kind, Kind::Stream { .. }),
                retry,
                hedge,
                split,
                mirror,
                redirect: None,
                rewrite,
                request_headers: to,
                response_headers: from,
                fault,
                fallback: fallback.into_iter().collect(),
            }
        },
    )
}

fn bare(kind: Kind) -> Route {
    Route {
        name: "all".to_owned(),
        matches: Match::default(),
        kind,
        idempotent: None,
        watch: false,
        retry: Retry::default(),
        hedge: None,
        split: None,
        mirror: None,
        redirect: None,
        rewrite: None,
        request_headers: Edit::default(),
        response_headers: Edit::default(),
        fault: None,
        fallback: Vec::new(),
    }
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let redirect = (select(vec![301, 302, 303, 307, 308]), select(vec!["/b", "https://a.example.com/c?d"]));
    (vec(route(), 0..3), redirect).prop_map(|(mut routes, (status, location))| {
        let deadline = Duration::from_secs(1);
        let away = Match { exact: Some("/away".to_owned()), ..Match::default() };
        let redirect = Some(Redirect { status, location: location.to_owned() });
        routes.push(Route { matches: away, redirect, ..bare(Kind::Unary { deadline }) });
        routes.push(bare(Kind::Unary { deadline }));
        routes
    })
}

fn discovery() -> impl Strategy<Value = Discovery> {
    let fixed = (1..=60_000_u16, of("[a-z]{1,4}"), 1..9_u32).prop_map(|(port, zone, weight)| {
        let other = StaticEndpoint { address: "unix:/run/x".to_owned(), zone: None, weight: 0 };
        Discovery::Static(vec![StaticEndpoint { address: format!("10.0.0.1:{port}"), zone, weight }, other])
    });
    let dns = (select(vec![(80, DnsRecord::Host), (0, DnsRecord::Srv)]), time()).prop_map(
        |((port, record), refresh)| Discovery::Dns {
            name: "a.example.com".to_owned(),
            port,
            record,
            refresh,
        },
    );
    let kubernetes = (of("[a-z]{1,4}"), of("[a-z]{1,4}"))
        .prop_map(|(namespace, port)| Discovery::Kubernetes { service: "data".to_owned(), namespace, port });
    prop_oneof![fixed, dns, kubernetes]
}

fn balancer() -> impl Strategy<Value = Balancer> {
    use BalancerKind::{LeastRequest, PeakEwma, Random, RingHash, RoundRobin};
    let kind = select(vec![PeakEwma, LeastRequest, RoundRobin, Random, RingHash]);
    (kind, hash_key(), any::<bool>(), time(), 0.0..=1.0).prop_map(
        |(kind, hash, prefer_zone, slow_start, panic_threshold)| Balancer {
            kind,
            hash: Some(hash).filter(|_| kind == RingHash),
            prefer_zone,
            slow_start,
            panic_threshold,
        },
    )
}

fn health() -> impl Strategy<Value = HealthCheck> {
    (of(path()), time(), time(), 1..9_u32, 1..9_u32).prop_map(
        |(path, interval, timeout, healthy, unhealthy)| HealthCheck {
            path,
            interval,
            timeout,
            healthy,
            unhealthy,
        },
    )
}

fn protection() -> impl Strategy<Value = (Ejection, Concurrency, RetryBudget, TenantBreaker, Option<Shed>)> {
    let ejection = (any::<u32>(), 0.0..=1.0, time(), 1..=u32::MAX, growing()).prop_map(
        |(consecutive_faults, success_rate, window, min_requests, (base, max))| Ejection {
            consecutive_faults,
            success_rate,
            window,
            min_requests,
            base,
            max,
        },
    );
    let many = 1..=1_000_000_usize;
    let concurrency = (many.clone(), many.clone(), 0..=1_000_000_usize, time(), 0.001..=1.0).prop_map(
        |(connections, requests, pending, wait, project_share)| Concurrency {
            connections,
            requests,
            pending,
            wait,
            project_share,
        },
    );
    let budget = (0.0..=1.0, any::<u32>(), time()).prop_map(|(ratio, per_second, window)| RetryBudget {
        ratio,
        per_second,
        window,
    });
    let breaker = (any::<u32>(), growing()).prop_map(|(consecutive_faults, (base, max))| TenantBreaker {
        consecutive_faults,
        base,
        max,
    });
    let shed = [many.clone(), many.clone(), many].prop_map(|mut sizes| {
        sizes.sort_unstable();
        Shed { min: sizes[0], initial: sizes[1], max: sizes[2] }
    });
    (ejection, concurrency, budget, breaker, of(shed))
}

fn limit() -> impl Strategy<Value = Limit> {
    let per = prop_oneof![
        select(vec![LimitKey::Identity, LimitKey::Route, LimitKey::Project, LimitKey::All]),
        "x-[a-z]{1,4}".prop_map(LimitKey::Header),
    ];
    (matches(), per, of(1..=u32::MAX), time(), 1..9_usize).prop_map(
        |(matches, per, requests, period, concurrent)| Limit {
            name: "all_of-it".to_owned(),
            matches,
            per,
            requests,
            period,
            concurrent: Some(concurrent),
        },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let reached = (of(discovery()), balancer(), of(health()), protection());
    let allowed =
        (of(limit()), select(vec!["gateway", "b", "spiffe://x.local/y"]), of(matches()), any::<bool>());
    (reached, allowed, routes()).prop_map(
        |((discovery, balancer, health_check, protection), (limit, from, policy, dry_run), routes)| {
            let (ejection, concurrency, retry_budget, tenant_breaker, shed) = protection;
            let from = vec![from.to_owned()];
            Service {
                protocol: Protocol::Http1,
                tls: Tls::Mutual,
                discovery,
                balancer,
                health_check,
                ejection,
                concurrency,
                retry_budget,
                tenant_breaker,
                shed,
                limits: limit.into_iter().collect(),
                callers: from.clone(),
                policies: policy.map(|matches| Policy { from, matches }).into_iter().collect(),
                dry_run,
                routes,
            }
        },
    )
}

fn sidecar() -> impl Strategy<Value = Sidecar> {
    let ready = select(vec![
        Ready::Tcp(None),
        Ready::Tcp(Some(Listen::Tcp(([127, 0, 0, 1], 80).into()))),
        Ready::Http("/readyz".to_owned()),
        Ready::Exec("test -e 'a b'".to_owned()),
    ]);
    (of(ready), time(), time(), 1..=256_usize, of("[a-z]{1,4}")).prop_map(
        |(ready, grace, lame_duck, workers, zone)| {
            let outbound = |listen: &str, protocol, to: Option<&str>| OutboundListener {
                listen: listen.parse().unwrap(),
                protocol,
                to: to.map(str::to_owned),
            };
            let workload = Workload {
                service: HTTP.to_owned(),
                program: Some("127.0.0.1:8080".parse().unwrap()),
                outbound: vec![
                    outbound("unix:/run/out", Protocol::Http1, None),
                    outbound("[::1]:5432", Protocol::Tcp, Some(TCP)),
                ],
                certificate: Some("/c.pem".into()),
                key: Some("/k.pem".into()),
                token: None,
                ready,
            };
            Sidecar {
                inbound: Some("0.0.0.0:9443".parse().unwrap()),
                workloads: vec![workload],
                roots: vec!["/roots.pem".into()],
                federated_roots: [("other.local".to_owned(), vec!["/other.pem".into()])].into(),
                admin: Some("/run/admin".into()),
                probes: Some("0.0.0.0:9440".parse().unwrap()),
                metrics: Some("0.0.0.0:9441".parse().unwrap()),
                metrics_token: Some("/metrics.token".into()),
                zone,
                grace,
                lame_duck,
                control: None,
                workers,
            }
        },
    )
}

fn telemetry() -> impl Strategy<Value = Telemetry> {
    let otlp = (0.0..=1.0, sent()).prop_map(|(sample, headers)| Otlp {
        endpoint: "http://127.0.0.1:4318".to_owned(),
        sample,
        headers,
    });
    (any::<bool>(), of(otlp)).prop_map(|(access_log, otlp)| Telemetry { access_log, otlp })
}

/// Any valid configuration, with every key in some of them.
pub(super) fn mesh() -> impl Strategy<Value = Mesh> {
    (service(), of(sidecar()), telemetry(), any::<bool>()).prop_map(
        |(service, sidecar, telemetry, private)| {
            let second = Duration::from_secs(1);
            let plain = |protocol, kind| Service {
                protocol,
                routes: vec![bare(kind)],
                ..Mesh::defaults().services["auth"].clone()
            };
            let mut tcp = plain(Protocol::Tcp, Kind::Tcp { idle: second });
            let mut b = plain(Protocol::Http2, Kind::Unary { deadline: second });
            (tcp.callers, b.callers) = (Vec::new(), Vec::new());
            b.tls = Tls::Off;
            Mesh {
                trust_domain: "meshbase.local".to_owned(),
                asserts: BTreeMap::from([("gateway".to_owned(), vec!["x-meshbase-project".to_owned()])]),
                denied: ["spiffe://meshbase.local/z".to_owned()].into(),
                egress: vec![Egress {
                    from: vec!["b".to_owned()],
                    host: if private { "localhost" } else { "*.example.com" }.to_owned(),
                    ports: vec![443, 8443],
                    private,
                }],
                telemetry,
                services: [(HTTP.to_owned(), service), (TCP.to_owned(), tcp), ("b".to_owned(), b)].into(),
                sidecar,
            }
        },
    )
}
