//! Whose fault it is: a program whose own call failed is neither asked again nor held to blame.

use crate::world::conform;

const CONFIG: &str = "
services:
  echo:
    callers: [gateway]
    routes: [{ kind: unary, deadline_ms: 20000, retry: { backoff_ms: 1 } }]
  deep:
    callers: [echo]
    routes: [{ kind: unary, deadline_ms: 20000, retry: { attempts: 0 } }]
";

#[tokio::test]
async fn a_call_that_goes_well_leaves_no_mark() {
    conform(CONFIG, async |world| {
        world.get("/").plan("call:deep").await.is("200 both did it").has("x-meshbase-fault", "-");

        world.told("exchange gateway>echo * 200\n exchange echo>deep * 200").await;
    })
    .await;
}

#[tokio::test]
async fn a_program_whose_own_call_failed_is_not_asked_again() {
    for (plan, status, what) in [("503", 503, "fault"), ("panic", 502, "reset")] {
        conform(CONFIG, async |world| {
            for id in ["given", ""] {
                let request = world.get("/").plan("call:deep").header("x-call-plan", plan);
                let request = if id.is_empty() { request } else { request.header("x-request-id", id) };
                let answer = request.await;
                answer.is("503 what I need failed").has("x-meshbase-fault", "upstream");
            }

            world
                .told(&format!(
                    "2x exchange gateway>echo * 503
                     2x attempt deep {what}
                     2x inbound echo>deep * {status} {what}
                     2x outbound echo>deep * {status} {what}"
                ))
                .await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_program_that_keeps_the_id_to_itself_is_asked_again() {
    conform(CONFIG, async |world| {
        let request = world.get("/").plan("aloof:deep").header("x-call-plan", "503 ok");

        request.await.is("200 both did it");

        assert_eq!(world.seen.count("retried"), 1, "in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn the_failure_of_one_request_is_not_that_of_another() {
    conform(CONFIG, async |world| {
        let failed = world.get("/").header("x-request-id", "one").plan("call:deep");
        failed.header("x-call-plan", "503").await.has("x-meshbase-fault", "upstream");

        let request = world.get("/").header("x-request-id", "two").plan("503 ok");

        request.await.is("200 echo GET /");
    })
    .await;
}
