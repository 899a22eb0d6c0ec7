//! Spans: untouched without a sampler, a chain with one.

use mesh::observe::trace::Trace;
use mesh::observe::{Exchange, Side};

use crate::world::{World, conform, routes};

const UNARY: &str = "- { kind: unary, deadline_ms: 20000 }";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const B3: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";

/// Nobody listens there: what is exported is lost, what is passed on is not.
fn sampled(part: f64) -> String {
    let telemetry = format!("telemetry: {{ otlp: {{ endpoint: \"http://127.0.0.1:1\", sample: {part} }} }}");
    format!("{telemetry}\n{}", routes(UNARY))
}

#[tokio::test]
async fn without_a_sampler_a_trace_passes_untouched() {
    conform(&routes(UNARY), async |world| {
        let traced = world.get("/").header("traceparent", TRACEPARENT).header("tracestate", "a=b");
        let answer = traced.header("b3", B3).show("traceparent tracestate b3").await;

        answer.is(&format!("200 echo GET / traceparent={TRACEPARENT} tracestate=a=b b3={B3}"));
        world.get("/").show("traceparent b3").await.is("200 echo GET / traceparent=- b3=-");
        assert!(world.exchanges(4).await.iter().all(|exchange| exchange.trace.is_none()));
    })
    .await;
}

#[tokio::test]
async fn each_side_is_a_span_that_the_one_before_causes() {
    conform(&sampled(1.0), async |world| {
        let request = world.get("/").header("traceparent", TRACEPARENT).header("tracestate", "a=b");
        let answer = request.show("tracestate traceparent").incomparable().await;

        let [outbound, inbound] = spans(world).await;
        assert_eq!(hex(&outbound.id), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(outbound.parent.map(|span| hex(&span)).as_deref(), Some("b7ad6b7169203331"));
        assert_eq!((inbound.id, inbound.parent), (outbound.id, Some(outbound.span)));
        let (id, span) = (hex(&inbound.id), hex(&inbound.span));
        answer.is(&format!("200 echo GET / tracestate=a=b traceparent=00-{id}-{span}-01"));
    })
    .await;
}

#[tokio::test]
async fn a_trace_begins_where_there_is_none() {
    for (part, flag) in [(1.0, 1), (0.0, 0)] {
        conform(&sampled(part), async |world| {
            let answer = world.get("/").show("traceparent").incomparable().await;

            let [outbound, inbound] = spans(world).await;
            assert_eq!(outbound.parent, None);
            assert_eq!((inbound.id, inbound.parent), (outbound.id, Some(outbound.span)));
            let told = answer.summary();
            let flags = u8::from_str_radix(told.rsplit('-').next().unwrap(), 16).unwrap();
            assert_eq!(flags & 1, flag, "in the {} world", world.name);
        })
        .await;
    }
}

#[tokio::test]
async fn who_speaks_b3_gets_b3() {
    conform(&sampled(1.0), async |world| {
        let answer = world.get("/").header("b3", B3).show("traceparent b3").incomparable().await;

        let [outbound, inbound] = spans(world).await;
        assert_eq!(outbound.parent.map(|span| hex(&span)).as_deref(), Some("e457b5a2e4d86bd1"));
        let (id, span, parent) = (hex(&inbound.id), hex(&inbound.span), hex(&outbound.span));
        answer.is(&format!("200 echo GET / traceparent=- b3={id}-{span}-1-{parent}"));
    })
    .await;
}

/// Of the outbound and of the inbound side.
async fn spans(world: &World) -> [Trace; 2] {
    let exchanges = world.exchanges(2).await;
    let of =
        |side| exchanges.iter().find(|exchange: &&Exchange| exchange.side == side).unwrap().trace.unwrap();
    [of(Side::Outbound), of(Side::Inbound)]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
