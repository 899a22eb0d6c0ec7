//! Follows schema changes: one connection per active project, listening on PostgREST's channel.

use std::future::poll_fn;
use std::sync::Weak;
use std::time::Duration;

use base::error::chain;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};

use super::active::Active;
use super::tls::{Driver, Stream};

/// Pause after a notification, so that the many of one migration cause one reload.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Pauses before a new connection, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
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
    loop {
        reload(project).await?;
        if client.is_closed() || notifications.recv().await.is_none() {
            return Some(());
        }
        tokio::time::sleep(DEBOUNCE).await;
        while notifications.try_recv().is_ok() {}
    }
}

async fn reload(project: &Weak<Active>) -> Option<()> {
    let project = project.upgrade()?;
    // a failure is logged where it happens; the old cache goes on serving
    let _ = project.reload().await;
    Some(())
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
