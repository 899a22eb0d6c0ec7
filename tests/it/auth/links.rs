//! Where mails and their links may lead: the project's own host, then its site or what its owner listed.

use serde_json::json;

use super::{Landing, Letter, SITE, confirming, credentials, mailing, with_settings};
use crate::support::{App, run};

/// Where a link with this target leads, and what follows the site there.
async fn leads_to(app: &App, wanted: &str) -> String {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("redirect_to", wanted).finish();
    let path = format!("/auth/v1/verify?type=signup&token=none&{query}");
    Landing::of(&app.nobody().get(&path).send().await.expect(303)).page
}

#[test]
fn a_link_leads_to_the_site_and_to_what_is_listed() {
    run(async {
        let app = with_settings(json!({
            "site_url": "https://app.example.com",
            "additional_redirect_urls": ["https://*.preview.example.com/**", "com.example.app://callback"],
        }))
        .await;
        for wanted in [
            "https://app.example.com/welcome?a=1",
            "https://one.preview.example.com/in/here",
            "com.example.app://callback",
        ] {
            assert_eq!(leads_to(&app, wanted).await, wanted);
        }
    });
}

#[test]
fn any_other_target_is_replaced_by_the_site_without_a_word() {
    run(async {
        let site = "https://app.example.com";
        let app = with_settings(json!({
            "site_url": site,
            "additional_redirect_urls": ["https://*.example.com/in"],
        }))
        .await;
        for wanted in [
            "https://evil.example",
            "//evil.example",
            "https://app.example.com.evil.example",
            "https://app.example.com@evil.example",
            "https://user:password@app.example.com",
            r"https://evil.example\@app.example.com",
            r"https:\\evil.example\.app.example.com",
            "https://evil.example/.example.com/in",
            "https://evil.example?.example.com/in",
            "https://evil.example#.example.com/in",
            "https://evil.example%23.example.com/in",
            "https://evilexample.com/in",
            "https://a.b.example.com/in",
            "http://app.example.com",
            "https://app.example.com:8443",
            "javascript:alert(1)//app.example.com",
            "data:text/html,app.example.com",
            "file:///etc/passwd",
            "http://16843009/",
            "http://[2606:4700::1111]/",
            "https://evil.example\r\nset-cookie: a=b",
            "\u{202e}https://evil.example",
            "no url",
            "",
        ] {
            assert_eq!(leads_to(&app, wanted).await, site, "{wanted}");
        }
        let long = format!("{site}/{}", "x".repeat(3_000));
        assert_eq!(leads_to(&app, &long).await, site);
    });
}

#[test]
fn a_header_names_the_target_too_under_the_same_rules() {
    run(async {
        let app = App::new().await;
        let link = || app.nobody().get("/auth/v1/verify?type=signup&token=none");
        for header in ["redirect_to", "referer"] {
            let ours = link().header(header, "http://localhost:5173/in").send().await.expect(303);
            let evil = link().header(header, "https://evil.example/").send().await.expect(303);

            assert_eq!(Landing::of(&ours).page, "http://localhost:5173/in", "{header}");
            assert_eq!(Landing::of(&evil).page, SITE, "{header}");
        }
    });
}

#[test]
fn the_target_of_a_sign_up_travels_with_its_mail() {
    run(async {
        let app = confirming().await;
        for (name, wanted, page) in [
            ("ann", "http%3A%2F%2Flocalhost%3A5173%2Fwelcome", "http://localhost:5173/welcome"),
            ("bob", "https%3A%2F%2Fevil.example", SITE),
        ] {
            let path = format!("/auth/v1/signup?redirect_to={wanted}");
            app.anon().post(&path).json(credentials(name)).send().await.expect(200);

            let letter = Letter::newest(&app, &format!("{name}@example.com"), 1).await;

            assert!(!letter.link.contains("evil"), "{}", letter.link);
            assert_eq!(letter.follow(&app).await.page, page);
        }
    });
}

#[test]
fn a_redirect_is_kept_nowhere_and_tells_the_next_page_nothing() {
    run(async {
        let app = App::new().await;

        let reply = app.nobody().get("/auth/v1/verify?type=signup&token=none").send().await.expect(303);

        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
    });
}

#[test]
fn whoever_asks_for_a_mail_does_not_choose_the_host_of_its_link() {
    run(async {
        let app = mailing().await;
        app.user("ann").await;
        let recover = |host: &str| {
            let call =
                app.anon().at_host(host).post("/auth/v1/recover").json(json!({"email": "ann@example.com"}));
            call.header("x-forwarded-host", "evil.example").header("x-meshbase-origin", "http://evil.example")
        };

        recover("localhost@evil.example").send().await.expect(200);
        let mut sent = 1;
        for host in ["evil.example", "localhost.evil.example"] {
            recover(host).send().await.expect(200);
            sent += 1;
            let letter = Letter::newest(&app, "ann@example.com", sent).await;
            assert!(letter.link.starts_with("http://localhost/auth/v1/verify?"), "{host}: {}", letter.link);
        }
        recover(app.anon().host()).send().await.expect(200);

        let letter = Letter::newest(&app, "ann@example.com", sent + 1).await;
        assert!(
            letter.link.starts_with(&format!("http://{}/auth/v1/verify?", app.anon().host())),
            "{}",
            letter.link
        );
        assert!(!letter.link.contains("evil"), "{}", letter.link);
    });
}
