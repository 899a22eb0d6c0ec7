//! Mail: written in the transaction that needs it, sent by the platform once that has committed.
//!
//! Nobody waits for it: how long an answer takes must not tell whether there was somebody to write to. A mail that
//! cannot be handed over is tried again until its code has expired.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::error::OrInternal;
use base::{Body, Clock, Error, Result, Timestamp};
use common::db::Tx;
use common::service::Tasks;
use common::{Databases, Dependencies, Document, Outbound, ProjectRef, jobs};
use http::header::CONTENT_TYPE;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The outbox's name for mails.
const KIND: &str = "auth.mail";
/// How often a run looks again while the platform refuses mails, 1 s, 2 s, 4 s … a minute apart.
const MAX_ROUNDS: u32 = 60;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the outbox of a project in use is looked at without being told.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// Projects remembered as looked at.
const MAX_PROJECTS: u64 = 10_000;

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mail {
    /// The address.
    pub(crate) to: String,
    /// The subject line.
    pub(crate) subject: String,
    /// The body.
    pub(crate) html: String,
    /// When its link is of no use any more.
    #[serde(with = "time::serde::timestamp")]
    pub(crate) expires_at: Timestamp,
}

impl Mail {
    /// Puts the mail into the outbox: it goes out if the transaction commits. Call [`Postman::collect`] then.
    pub(crate) async fn post(&self, tx: &mut Tx) -> Result<()> {
        jobs::enqueue(tx, KIND, self).await
    }
}

/// Hands the outbox's mails to the platform. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Postman {
    databases: Databases,
    outbound: Outbound,
    clock: Clock,
    tasks: Tasks,
    /// The projects with a run under way, and whether more was posted since it last looked.
    rounds: Arc<Mutex<HashMap<ProjectRef, bool>>>,
    /// The projects whose outbox was looked at lately.
    swept: Cache<Uuid, ()>,
}

impl Postman {
    pub(crate) fn new(databases: Databases, deps: &Dependencies) -> Postman {
        Postman {
            databases,
            outbound: deps.outbound.clone(),
            clock: deps.clock.clone(),
            tasks: deps.tasks.clone(),
            rounds: Arc::default(),
            swept: Cache::builder().max_capacity(MAX_PROJECTS).time_to_live(SWEEP_EVERY).build(),
        }
    }

    /// Sends what an earlier process left behind: looks at a project's outbox when it is first used, then every
    /// [`SWEEP_EVERY`] for as long as it is.
    pub(crate) async fn attend(&self, project: &Arc<Document>) {
        if self.swept.entry(project.id).or_insert(()).await.is_fresh() {
            self.collect(project);
        }
    }

    /// Sends what waits in the project's outbox, in the background; one run per project at a time.
    pub(crate) fn collect(&self, project: &Arc<Document>) {
        let mut rounds = self.rounds.lock().expect("no holder of this lock panics");
        if let Some(more) = rounds.get_mut(&project.reference) {
            *more = true;
            return;
        }
        rounds.insert(project.reference.clone(), false);
        drop(rounds);
        let (postman, project) = (self.clone(), project.clone());
        self.tasks.spawn(async move { postman.run(&project).await });
    }

    async fn run(&self, project: &Document) {
        let mut failures = 0;
        loop {
            match self.send_all(project).await {
                Ok(true) => failures = 0,
                Ok(false) => failures += 1,
                Err(error) => {
                    tracing::warn!(project = %project.reference, error = %base::error::chain(&error), "mail waits");
                    failures += 1;
                }
            }
            if failures == 0 || failures >= MAX_ROUNDS {
                let mut rounds = self.rounds.lock().expect("no holder of this lock panics");
                match rounds.get_mut(&project.reference) {
                    Some(more) if *more && failures == 0 => *more = false,
                    _ => {
                        rounds.remove(&project.reference);
                        return;
                    }
                }
            } else {
                tokio::time::sleep(Duration::from_secs(1 << failures.min(6)).min(LONGEST_PAUSE)).await;
            }
        }
    }

    /// Sends every mail that is due; whether all went.
    async fn send_all(&self, project: &Document) -> Result<bool> {
        let db = self.databases.of(project).await?;
        let all_went = AtomicBool::new(true);
        jobs::run_due(&db, KIND, async |mail: Mail| {
            let sent = self.send(&project.reference, &mail).await;
            all_went.fetch_and(sent.is_ok(), Ordering::Relaxed);
            sent
        })
        .await?;
        Ok(all_went.into_inner())
    }

    /// Sends one mail; one whose link is of no use any more is dropped.
    async fn send(&self, project: &ProjectRef, mail: &Mail) -> Result<()> {
        if mail.expires_at <= self.clock.now() {
            return Ok(());
        }
        let body = serde_json::json!({"to": mail.to, "subject": mail.subject, "html": mail.html});
        let request = http::Request::post(format!("http://platform.mesh/internal/projects/{project}/mail"))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .or_internal()?;
        let status = self.outbound.send(request).await?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(Error::internal(format!("the platform answered {status}")))
        }
    }
}

/// What a mail is about.
pub(crate) struct Letter<'a> {
    /// Where it goes.
    pub(crate) to: &'a str,
    /// The link that confirms.
    pub(crate) link: &'a str,
    /// The code that confirms too.
    pub(crate) code: &'a str,
    /// When both are of no use any more.
    pub(crate) expires_at: Timestamp,
}

impl Letter<'_> {
    /// Confirms a sign-up.
    pub(crate) fn confirmation(&self) -> Mail {
        self.write(
            "Confirm your email address",
            "Welcome! Please confirm that this is your address.",
            "Confirm email address",
        )
    }

    /// Lets somebody in who forgot the password.
    pub(crate) fn recovery(&self) -> Mail {
        self.write(
            "Reset your password",
            "Somebody, hopefully you, asked to reset the password of your account.",
            "Reset password",
        )
    }

    /// Confirms a change of address from `old` (empty if there was none) to `new`; goes to either.
    pub(crate) fn email_change(&self, old: &str, new: &str) -> Mail {
        let from = if old.is_empty() { String::new() } else { format!(" from {old}") };
        self.write(
            "Confirm the change of your email address",
            &format!("Please confirm that the address of your account changes{from} to {new}."),
            "Confirm change",
        )
    }

    fn write(&self, subject: &str, reason: &str, action: &str) -> Mail {
        let (reason, link, code) = (escape(reason), escape(self.link), escape(self.code));
        let html = format!(
            r#"<!doctype html>
<html lang="en">
<body style="margin:0;padding:32px 16px;background:#f4f5f7;font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;color:#1c2024">
<table role="presentation" align="center" width="100%" style="max-width:480px;background:#fff;border-radius:12px">
<tr><td style="padding:32px">
<h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">{subject}</h1>
<p style="margin:0 0 24px">{reason}</p>
<p style="margin:0 0 24px"><a href="{link}" style="display:inline-block;padding:12px 20px;border-radius:8px;background:#1f6feb;color:#fff;text-decoration:none;font-weight:600">{action}</a></p>
<p style="margin:0 0 8px">Or enter this code:</p>
<p style="margin:0 0 24px;font:600 28px/1 ui-monospace,monospace;letter-spacing:6px">{code}</p>
<p style="margin:0;font-size:13px;color:#60646c">If this was not you, do nothing: without the link or the code nothing happens.</p>
</td></tr>
</table>
</body>
</html>
"#
        );
        Mail { to: self.to.to_owned(), subject: subject.to_owned(), html, expires_at: self.expires_at }
    }
}

/// Text as it may stand in HTML, in attributes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_chose_cannot_become_markup() {
        let letter = Letter {
            to: "a@b.c",
            link: "https://x.example/?a=1&b=\"><script>",
            code: "123456",
            expires_at: Timestamp::UNIX_EPOCH,
        };

        let mail = letter.email_change("o'neill@b.c", "<b>@c.d");

        assert!(mail.html.contains("&lt;b&gt;@c.d") && mail.html.contains("o&#39;neill@b.c"));
        assert!(mail.html.contains(r#"href="https://x.example/?a=1&amp;b=&quot;&gt;&lt;script&gt;""#));
        assert!(mail.html.contains("123456"));
    }
}
