//! Signing out: here, elsewhere, everywhere.

use super::{assert_refused, is_signed_in, refresh};
use crate::support::{Actor, App, run};

/// Three sessions of one user and one of another.
async fn sessions(app: &App) -> ([Actor; 3], Actor) {
    let ann = [app.user("ann").await, app.user("ann").await, app.user("ann").await];
    (ann, app.user("bob").await)
}

async fn signed_in(actors: &[Actor; 3]) -> [bool; 3] {
    [is_signed_in(&actors[0]).await, is_signed_in(&actors[1]).await, is_signed_in(&actors[2]).await]
}

#[test]
fn the_scope_says_which_sessions_end() {
    run(async {
        let app = App::new().await;
        for (query, left) in [
            ("?scope=local", [false, true, true]),
            ("?scope=others", [true, false, false]),
            ("?scope=global", [false, false, false]),
            ("", [false, false, false]),
        ] {
            let (ann, bob) = sessions(&app).await;

            let reply = ann[0].post(&format!("/auth/v1/logout{query}")).send().await.expect(204);

            assert_eq!(reply.text(), "");
            assert_eq!(signed_in(&ann).await, left, "{query}");
            assert!(is_signed_in(&bob).await);
            for (actor, left) in ann.iter().zip(left) {
                let refreshed = refresh(&app, &actor.refresh_token).await;
                if left {
                    refreshed.expect(200);
                } else {
                    assert_refused(refreshed, 400, "refresh_token_not_found");
                }
            }
        }
    });
}

#[test]
fn an_unknown_scope_ends_nothing() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;

        assert_refused(ann.post("/auth/v1/logout?scope=everything").send().await, 400, "validation_failed");

        assert!(is_signed_in(&ann).await);
    });
}

#[test]
fn a_key_is_nobody_who_could_sign_out() {
    run(async {
        let app = App::new().await;

        for actor in [app.anon(), app.service()] {
            assert_refused(actor.post("/auth/v1/logout").send().await, 403, "bad_jwt");
        }
    });
}
