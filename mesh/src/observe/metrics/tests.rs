//! What events become in the text that Prometheus reads.

use http::StatusCode;

use super::super::sample::{everything, exchange};
use super::super::{Exchange, Name, Reason};
use super::parser::{Exposition, parse};
use super::*;
use crate::cause::Cause;

fn rendered(metrics: &Metrics) -> Exposition {
    parse(&metrics.render()).unwrap_or_else(|error| panic!("{error}\n{}", metrics.render()))
}

#[test]
fn every_event_is_counted_and_the_text_is_well_formed() {
    let metrics = Metrics::new();

    everything().iter().for_each(|event| metrics.observe(event));

    let text = rendered(&metrics);
    for family in [
        "requests",
        "request_failures",
        "request_duration_seconds",
        "request_end_duration_seconds",
        "request_body_bytes",
        "response_body_bytes",
        "attempts",
        "retries",
        "retries_refused",
        "hedges",
        "ejections",
        "restorations",
        "health_changes",
        "tenant_breaker_changes",
        "shed",
        "limited",
        "denied",
        "egress_denied",
        "fallbacks",
        "faults_injected",
        "mirrored",
        "endpoints",
        "discovery_failures",
        "handshake_failures",
        "certificate_expiry_timestamp_seconds",
        "certificates_rejected",
        "cuts",
        "connections_ended",
        "connection_sent_bytes",
        "connection_received_bytes",
        "config_info",
        "config_rejections",
        "spans_dropped",
        "access_lines_lost",
    ] {
        assert!(text.has(&format!("meshbase_mesh_{family}")), "{family} in\n{}", metrics.render());
    }
}

#[test]
fn an_exchange_is_told_by_its_labels() {
    let metrics = Metrics::new();
    let failed = Exchange {
        status: StatusCode::BAD_GATEWAY,
        class: None,
        cause: Some(Cause::Reset),
        head: Duration::from_millis(30),
        ..exchange()
    };

    metrics.observe(&Event::Ended(exchange()));
    metrics.observe(&Event::Ended(failed.clone()));
    metrics.observe(&Event::Ended(failed));

    let text = rendered(&metrics);
    let labels = |class, cause| {
        format!(
            r#"{{side="outbound",source="gateway",destination="data",route="/rest/v1/*",class="{class}",cause="{cause}"}}"#
        )
    };
    let reset = labels("5xx", "reset");
    assert_eq!(text.value(&format!("meshbase_mesh_requests_total{}", labels("2xx", "-"))), Some(1.0));
    assert_eq!(text.value(&format!("meshbase_mesh_requests_total{reset}")), Some(2.0));
    assert_eq!(text.value(&format!("meshbase_mesh_request_failures_total{reset}")), Some(2.0));
    assert_eq!(text.value(&format!("meshbase_mesh_request_duration_seconds_sum{reset}")), Some(0.06));
    let bucket = |le| {
        format!(
            "meshbase_mesh_request_duration_seconds_bucket{}",
            reset.replace('{', &format!(r#"{{le="{le}","#))
        )
    };
    assert_eq!(text.value(&bucket("0.025")), Some(0.0));
    assert_eq!(text.value(&bucket("0.1")), Some(2.0));
}

#[test]
fn nothing_that_a_caller_chooses_is_in_the_text() {
    let metrics = Metrics::new();

    everything().iter().for_each(|event| metrics.observe(event));

    let text = metrics.render();
    for secret in ["hunter2", "evil.example", "/rest/v1/people", "acme", "req-1"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[test]
fn a_name_that_needs_escaping_does_not_break_the_text() {
    let metrics = Metrics::new();
    let route: Name = "a\"b\\c\nd".into();

    metrics.observe(&Event::Retried { destination: "data".into(), route });

    let text = rendered(&metrics);
    let labels = r#"{destination="data",route="a\"b\\c\nd"}"#;
    assert_eq!(text.value(&format!("meshbase_mesh_retries_total{labels}")), Some(1.0));
}

#[test]
fn a_flood_of_names_ends_up_under_other() {
    let metrics = Metrics::with_limit(10);

    for n in 0..1_000 {
        metrics.observe(&Event::Limited { service: "data".into(), limit: format!("l{n}").into() });
    }

    let text = rendered(&metrics);
    assert_eq!(text.series("meshbase_mesh_limited_total"), 11);
    assert_eq!(text.value(r#"meshbase_mesh_limited_total{destination="other",limit="other"}"#), Some(990.0));
}

#[tokio::test(start_paused = true)]
async fn idle_counters_go_and_states_stay() {
    let (metrics, start) = (Metrics::new(), Instant::now());
    everything().iter().for_each(|event| metrics.observe(event));

    metrics.expire(start);
    metrics.expire(start + IDLE);

    let text = rendered(&metrics);
    assert!(!text.has("meshbase_mesh_requests") && !text.has("meshbase_mesh_shed"));
    assert!(text.has("meshbase_mesh_certificate_expiry_timestamp_seconds"));
    assert!(text.has("meshbase_mesh_endpoints") && text.has("meshbase_mesh_config_info"));
}

#[test]
fn the_gauges_of_a_service_go_with_it() {
    let metrics = Metrics::new();
    for service in ["data", "auth"] {
        metrics.observe(&Event::EndpointsChanged { destination: service.into(), count: 2 });
    }

    for service in ["data", "auth"] {
        metrics.set_concurrency(&service.into(), &"web".into(), 3, 1);
        metrics.set_adaptive_limit(&service.into(), 20);
    }

    metrics.retain_services(|service| service == "data");

    let text = rendered(&metrics);
    assert_eq!(text.value(r#"meshbase_mesh_endpoints{destination="data"}"#), Some(2.0));
    assert_eq!(text.value(r#"meshbase_mesh_endpoints{destination="auth"}"#), None);
    let running = |service: &str| {
        format!(r#"meshbase_mesh_concurrency{{destination="{service}",source="web",state="running"}}"#)
    };
    assert_eq!((text.value(&running("data")), text.value(&running("auth"))), (Some(3.0), None));
    assert_eq!(text.value(r#"meshbase_mesh_adaptive_limit{destination="data"}"#), Some(20.0));
    assert_eq!(text.value(r#"meshbase_mesh_adaptive_limit{destination="auth"}"#), None);
}

#[test]
fn one_version_of_the_configuration_is_in_force() {
    let metrics = Metrics::new();

    for version in ["v1", "v2"] {
        metrics.observe(&Event::ConfigApplied { version: version.into() });
    }

    let text = rendered(&metrics);
    assert_eq!(text.value(r#"meshbase_mesh_config_info{version="v1"}"#), None);
    assert_eq!(text.value(r#"meshbase_mesh_config_info{version="v2"}"#), Some(1.0));
}

#[test]
fn a_dry_run_is_told_from_a_denial() {
    let metrics = Metrics::new();
    let denied = |dry_run| Event::Denied {
        peer: crate::identity::Identity::new("mesh", "gateway"),
        service: "data".into(),
        method: http::Method::GET,
        path: "/".to_owned(),
        dry_run,
    };

    metrics.observe(&denied(true));
    metrics.observe(&denied(false));
    metrics.observe(&Event::Shed {
        side: super::super::Side::Inbound,
        service: "data".into(),
        reason: Reason::Full,
    });

    let text = rendered(&metrics);
    for mode in ["dry_run", "enforced"] {
        let labels = format!(r#"{{destination="data",source="gateway",mode="{mode}"}}"#);
        assert_eq!(text.value(&format!("meshbase_mesh_denied_total{labels}")), Some(1.0));
    }
}
