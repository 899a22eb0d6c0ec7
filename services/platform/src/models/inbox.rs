//! Mail of projects without SMTP. The newest 500 of each project are kept.

use base::error::OrInternal;
use base::{Result, Timestamp};
use common::project::ProjectRef;
use serde::Serialize;
use uuid::Uuid;

use crate::Platform;

/// Mails kept per project.
const KEPT: i64 = 500;
/// Longest recipient and subject, in characters.
const MAX_LINE_CHARS: usize = 1000;

/// A mail to keep.
pub struct NewMail<'a> {
    /// The recipient.
    pub to: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The body.
    pub html: &'a str,
}

/// A kept mail.
#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    /// Grows with time.
    pub id: i64,
    /// The recipient.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The body.
    pub html: String,
    /// When it came.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: Timestamp,
}

impl Platform {
    /// Keeps a mail and forgets the oldest beyond 500.
    pub async fn keep_mail(&self, project: Uuid, mail: NewMail<'_>) -> Result<()> {
        let clip = |line: &str| line.chars().filter(|c| *c != '\0').take(MAX_LINE_CHARS).collect::<String>();
        sqlx::query!(
            "INSERT INTO platform.inbox (project_id, recipient, subject, html, received_at)
             VALUES ($1, $2, $3, $4, $5)",
            project,
            clip(mail.to),
            clip(mail.subject),
            mail.html.replace('\0', ""),
            self.0.clock.now(),
        )
        .execute(&self.0.db)
        .await
        .or_internal()?;
        sqlx::query!(
            "DELETE FROM platform.inbox WHERE project_id = $1 AND id <=
               (SELECT id FROM platform.inbox WHERE project_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
            project,
            KEPT,
        )
        .execute(&self.0.db)
        .await
        .or_internal()?;
        Ok(())
    }

    /// A project's mails, newest first; of one recipient if `to` is given.
    pub async fn mails(&self, reference: &ProjectRef, to: Option<&str>) -> Result<Vec<Mail>> {
        sqlx::query_as!(
            Mail,
            r#"SELECT i.id, i.recipient AS "to", i.subject, i.html, i.received_at
               FROM platform.inbox AS i JOIN platform.projects AS p ON p.id = i.project_id
               WHERE p.reference = $1 AND ($2::text IS NULL OR i.recipient = $2) ORDER BY i.id DESC LIMIT 100"#,
            reference.as_str(),
            to,
        )
        .fetch_all(&self.0.db)
        .await
        .or_internal()
    }
}
