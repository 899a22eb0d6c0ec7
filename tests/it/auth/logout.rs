//! Signing out: here, elsewhere, everywhere.

use std::time::{Duration, Instant};

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

/// What the services that verify tokens by themselves say to this user.
async fn elsewhere(actor: &Actor) -> [u16; 2] {
    let read = actor.get("/rest/v1/things").send().await.status.as_u16();
    let listed = actor.get("/storage/v1/bucket").send().await.status.as_u16();
    [read, listed]
}

#[test]
fn a_token_is_refused_everywhere_within_a_second_of_its_sessions_end() {
    run(async {
        let app = App::with("create table public.things (id int)").await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let [read, listed] = elsewhere(&ann).await;
        assert_eq!([read, listed], [200, 200]);

        ann.post("/auth/v1/logout").send().await.expect(204);
        let ended = Instant::now();
        while elsewhere(&ann).await != [401, 400] {
            assert!(ended.elapsed() < Duration::from_secs(20), "{:?}", elsewhere(&ann).await);
        }
        let took = ended.elapsed();
        assert_eq!(elsewhere(&bob).await, [read, listed], "another session goes on");

        // whatever ends it: here a cascade
        let id = &bob.id;
        app.service().delete(&format!("/auth/v1/admin/users/{id}")).send().await.expect(200);
        let ended = Instant::now();
        while elsewhere(&bob).await != [401, 400] {
            assert!(ended.elapsed() < Duration::from_secs(20), "{:?}", elsewhere(&bob).await);
        }
        println!("refused after {took:?} and {:?}", ended.elapsed());
    });
}

#[test]
fn nobody_outside_hears_who_signed_out() {
    run(async {
        let app = App::new().await;
        for path in [
            "/auth/v1/internal/revocations",
            "/auth/v1/x/../internal/revocations",
            "/auth/v1//internal/revocations",
        ] {
            let status = app.service().get(path).send().await.status.as_u16();
            assert!(matches!(status, 400 | 403 | 404), "{path}: {status}");
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
