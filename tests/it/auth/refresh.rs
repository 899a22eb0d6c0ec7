//! Refreshing: a token moves its session on once, and its reuse ends it.

use futures_util::future::join_all;
use serde_json::json;

use super::{assert_refused, claims, is_signed_in, refresh, with_settings};
use crate::support::{Actor, App, at, run};

/// The next refresh token.
async fn next(app: &App, token: &str) -> String {
    let session = refresh(app, token).await.expect(200).json();
    at(&session, "/refresh_token").as_str().unwrap().to_owned()
}

/// A project in which only the previous refresh token is forgiven, and somebody signed in there.
async fn strict() -> (App, Actor) {
    let app = with_settings(json!({"refresh_token_reuse_interval": 0})).await;
    let ann = app.user("ann").await;
    (app, ann)
}

#[test]
fn a_refresh_answers_the_next_tokens_of_the_same_session() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;
        // late in its second: `amr` must not be rounded into the next one
        app.sql(
            "update auth.mfa_amr_claims set created_at = date_trunc('second', created_at) + interval '0.9 second'",
        )
        .await;

        let session = refresh(&app, &ann.refresh_token).await.expect(200).json();

        let renewed = app.signed_in(&session);
        assert_ne!(renewed.refresh_token, ann.refresh_token);
        let (before, after) = (
            claims(&app, ann.token.as_ref().unwrap()).await,
            claims(&app, renewed.token.as_ref().unwrap()).await,
        );
        assert_eq!(before["session_id"], after["session_id"]);
        assert_eq!(before["amr"], after["amr"]);
        assert_eq!(at(&session, "/user/email"), &json!("ann@example.com"));
        assert!(is_signed_in(&renewed).await && is_signed_in(&ann).await);
    });
}

#[test]
fn twenty_refreshes_at_once_all_get_the_one_successor() {
    run(async {
        let (app, ann) = strict().await;

        let successors = join_all((0..20).map(|_| next(&app, &ann.refresh_token))).await;

        assert!(successors.iter().all(|token| *token == successors[0] && *token != ann.refresh_token));
        assert_eq!(app.value("select refresh_token_counter from auth.sessions").await, json!(1));
        assert_ne!(next(&app, &successors[0]).await, successors[0]);
    });
}

#[test]
fn the_previous_token_is_forgiven_a_client_that_lost_the_answer() {
    run(async {
        let (app, ann) = strict().await;
        let first = next(&app, &ann.refresh_token).await;

        let again = next(&app, &ann.refresh_token).await;

        assert_eq!(again, first);
        assert_ne!(next(&app, &first).await, first);
    });
}

#[test]
fn an_older_token_ends_the_session_for_good() {
    run(async {
        let (app, ann) = strict().await;
        let other = app.user("ann").await;
        let first = next(&app, &ann.refresh_token).await;
        let second = next(&app, &first).await;

        assert_refused(refresh(&app, &ann.refresh_token).await, 400, "refresh_token_already_used");

        assert!(!is_signed_in(&ann).await, "the access token is worth nothing any more");
        for token in [&second, &first, &ann.refresh_token] {
            assert_refused(refresh(&app, token).await, 400, "refresh_token_not_found");
        }
        assert!(is_signed_in(&other).await, "it is that session alone");
        let revoked =
            "select count(*) from auth.audit_log_entries where payload ->> 'action' = 'token_revoked'";
        assert_eq!(app.value(revoked).await, json!(1));
    });
}

#[test]
fn within_the_reuse_interval_any_older_token_gets_the_newest() {
    run(async {
        let app = with_settings(json!({"refresh_token_reuse_interval": 3600})).await;
        let ann = app.user("ann").await;
        let first = next(&app, &ann.refresh_token).await;
        let second = next(&app, &first).await;

        assert_eq!(next(&app, &ann.refresh_token).await, second);

        assert!(is_signed_in(&ann).await);
    });
}

#[test]
fn without_rotation_an_older_token_is_refused_and_ends_nothing() {
    run(async {
        let settings = json!({"refresh_token_reuse_interval": 0, "enable_refresh_token_rotation": false});
        let app = with_settings(settings).await;
        let ann = app.user("ann").await;
        let first = next(&app, &ann.refresh_token).await;
        let second = next(&app, &first).await;

        assert_refused(refresh(&app, &ann.refresh_token).await, 400, "refresh_token_already_used");

        next(&app, &second).await;
    });
}

#[test]
fn a_made_up_token_is_nobodys_and_hurts_nobody() {
    run(async {
        let app = App::new().await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        // ann's session with what authenticates bob's
        let spliced = format!("{}{}", &ann.refresh_token[..30], &bob.refresh_token[30..]);
        let turned: String = ann.refresh_token.chars().rev().collect();
        for made_up in
            [&*spliced, &turned, "abcdefghijkl", &format!("{}=", ann.refresh_token), &"A".repeat(10_000)]
        {
            assert_refused(refresh(&app, made_up).await, 400, "refresh_token_not_found");
        }
        assert_refused(refresh(&app, "").await, 400, "validation_failed");

        for actor in [&ann, &bob] {
            next(&app, &actor.refresh_token).await;
        }
    });
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;
        app.sql("update auth.sessions set not_after = now() - interval '1 second'").await;

        assert_refused(refresh(&app, &ann.refresh_token).await, 400, "session_expired");
    });
}
