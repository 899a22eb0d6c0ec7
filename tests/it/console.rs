//! The console: behind its token, and safe to look at whatever a mail holds.

use base::Body;
use http::Method;
use serde_json::json;

use crate::support::{App, Call, Reply, run};

struct Console {
    base: String,
    token: String,
}

impl Console {
    fn of(app: &App) -> Console {
        let url = app.stack.up.info.console_url.expose();
        let (base, token) = url.split_once("/?token=").expect("the URL holds the token");
        Console { base: base.to_owned(), token: token.to_owned() }
    }

    fn get(&self, path: &str) -> Call {
        Call::new(Method::GET, &format!("{}{path}", self.base))
    }

    async fn inbox(&self, app: &App) -> Reply {
        let call = self.get(&format!("/?project={}", app.project.reference));
        call.header("authorization", &format!("Bearer {}", self.token)).send().await
    }
}

#[test]
fn nobody_looks_in_without_the_token() {
    run(async {
        let app = App::new().await;
        let console = Console::of(&app);

        for path in ["/", "/api/inbox", "/?token=wrong", "/?token="] {
            console.get(path).send().await.expect(401);
        }
        console.get("/").header("cookie", "meshbase_console=wrong").send().await.expect(401);
        let wrong = format!("Bearer {}", app.access.service_role_key.expose());
        console.get("/").header("authorization", &wrong).send().await.expect(401);
    });
}

#[test]
fn the_token_moves_from_the_address_into_a_cookie() {
    run(async {
        let app = App::new().await;
        let console = Console::of(&app);

        let reply = console.get(&format!("/?token={}", console.token)).send().await.expect(303);

        assert_eq!(reply.header("location"), "/");
        let cookie = reply.header("set-cookie").to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let session = cookie.split(';').next().unwrap();
        console.get("/").header("cookie", session).send().await.expect(200);
    });
}

#[test]
fn a_hostile_mail_stays_inside_its_frame() {
    run(async {
        let app = App::new().await;
        let console = Console::of(&app);
        let mail = platform::models::inbox::NewMail {
            to: "<script>alert(1)</script>@example.com",
            subject: "\"><img src=x onerror=alert(1)>",
            html: "</iframe><script>alert(1)</script>\"><script>alert(2)</script>",
        };
        app.stack.up.platform.keep_mail(app.project.id, mail).await.unwrap();

        let page = console.inbox(&app).await.expect(200);

        assert!(!page.text().contains("<script"), "{}", page.text());
        assert!(!page.text().contains("<img"), "{}", page.text());
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(page.text().contains("sandbox="));
    });
}

#[test]
fn one_project_does_not_show_in_the_inbox_of_another() {
    run(async {
        let (one, two) = (App::new().await, App::new().await);
        let body = json!({"email": "ann@example.com"});
        one.user("ann").await;
        one.anon().post("/auth/v1/recover").json(body).send().await.expect(200);
        while one.mails("ann@example.com").await.is_empty() {
            tokio::task::yield_now().await;
        }

        assert!(Console::of(&one).inbox(&one).await.text().contains("ann@example.com"));
        assert!(!Console::of(&two).inbox(&two).await.text().contains("ann@example.com"));
    });
}

#[test]
fn the_console_takes_no_body_and_no_other_method() {
    run(async {
        let app = App::new().await;
        let console = Console::of(&app);
        let bearer = format!("Bearer {}", console.token);

        let call = Call::new(Method::POST, &format!("{}/", console.base)).header("authorization", &bearer);

        call.body(Body::from("x")).send().await.expect(405);
    });
}
