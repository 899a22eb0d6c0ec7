//! Follows schema changes: one connection per active project, listening on PostgREST's channel.
//!
//! Behind a pooler of transactions no notification comes, and not every database sends any. So the connection also asks,
//! now and then, how much of the catalog was ever written: PostgreSQL counts that, and looks at nothing for it.

use std::future::poll_fn;
use std::sync::Weak;
use std::time::Duration;

use base::error::chain;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage, Socket};

use super::active::Active;
use super::tls::{Driver, Stream};

/// Pause after a notification, so that the many of one migration cause one reload.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Pauses before a new connection, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause between two questions.
const LAST_POLL: Duration = Duration::from_secs(600);
/// How many rows of this database's catalog were ever written, by its statistics.
const WRITTEN: &str = "SELECT sum(pg_stat_get_tuples_inserted(c) + pg_stat_get_tuples_updated(c) \
    + pg_stat_get_tuples_deleted(c))::text FROM unnest('{pg_class, pg_attribute, pg_attrdef, pg_constraint, pg_proc, \
    pg_type, pg_enum, pg_rewrite, pg_cast, pg_aggregate, pg_description, pg_namespace}'::regclass[]) AS c";
/// Notifications that may wait; more of them say nothing new.
const QUEUE: usize = 16;

/// Listens for as long as somebody holds the project.
pub(crate) async fn listen(project: Weak<Active>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(&project).await {
            None => return,
            Some(Ok((client, notifications))) => {
                pause = FIRST_PAUSE;
                if follow(&project, client, notifications).await.is_none() {
                    return;
                }
            }
            Some(Err(error)) => {
                tracing::debug!(error = %chain(&error), "no connection to listen on for schema changes");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

type Listening = (Client, mpsc::Receiver<()>);

/// A connection that listens; `None` once the project is gone.
async fn connect(project: &Weak<Active>) -> Option<Result<Listening, tokio_postgres::Error>> {
    let (config, tls) = {
        let project = project.upgrade()?;
        (project.config().clone(), project.tls().clone())
    };
    let (sender, notifications) = mpsc::channel(QUEUE);
    let connected = async {
        let client = tls.connect(&config, Forward(sender)).await?;
        client.batch_execute("LISTEN pgrst").await?;
        Ok((client, notifications))
    };
    Some(connected.await)
}

/// Reloads at once – a change may have gone unheard before – and after each notification, until the connection
/// ends. `None` once the project is gone.
async fn follow(project: &Weak<Active>, client: Client, mut notifications: mpsc::Receiver<()>) -> Option<()> {
    let mut poll = project.upgrade()?.poll();
    loop {
        // asked before the reload: what is written meanwhile is found the next time
        let written = written(&client).await;
        // after a failure any answer is news
        let known = if reload(project).await? { written } else { None };
        if client.is_closed() {
            return Some(());
        }
        match changed(&client, &mut notifications, known, poll).await {
            News::Ended => return Some(()),
            News::Notified => poll = project.upgrade()?.poll(),
            // whoever writes to the catalog all the time, as with temporary tables, is asked less often
            News::Written => poll = (poll * 2).min(LAST_POLL),
        }
        tokio::time::sleep(DEBOUNCE).await;
        while notifications.try_recv().is_ok() {}
    }
}

/// Why to read the catalog anew, if at all.
enum News {
    Notified,
    Written,
    /// The connection has ended.
    Ended,
}

/// Waits for a notification, or until more of the catalog was written.
async fn changed(
    client: &Client,
    notifications: &mut mpsc::Receiver<()>,
    before: Option<String>,
    poll: Duration,
) -> News {
    loop {
        match tokio::time::timeout(poll, notifications.recv()).await {
            Ok(Some(())) => return News::Notified,
            Ok(None) => return News::Ended,
            Err(_) if client.is_closed() => return News::Ended,
            Err(_) => {
                let now = written(client).await;
                if now.is_some() && now != before {
                    return News::Written;
                }
            }
        }
    }
}

/// How much of the catalog was ever written; nothing if the database does not say.
async fn written(client: &Client) -> Option<String> {
    let messages = client.simple_query(WRITTEN).await.ok()?;
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

/// Whether the catalog was read; `None` once the project is gone.
async fn reload(project: &Weak<Active>) -> Option<bool> {
    let project = project.upgrade()?;
    // a failure is logged where it happens; the old cache goes on serving
    Some(project.reload().await.is_ok())
}

/// Moves a connection's bytes, and passes on that a notification to reload came.
struct Forward(mpsc::Sender<()>);

impl Driver for Forward {
    type Output = Client;

    fn drive<S: Stream>(self, client: Client, mut connection: Connection<Socket, S>) -> Client {
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message
                    && matches!(notification.payload(), "" | "reload schema" | "reload config")
                {
                    // full: a reload is due already
                    let _ = self.0.try_send(());
                }
            }
        });
        client
    }
}
