//! Turns to send lines. A slow reader holds its connection for long, so that not all of a pool may be lent to such.

use std::sync::Arc;
use std::time::Duration;

use base::Result;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::EXPORTS;

/// A turn, which a connection holds until it is free again.
pub(crate) type Turn = OwnedSemaphorePermit;

/// The turns of a project: half of its connections, but one at least.
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    wait: Duration,
}

impl Turns {
    /// Turns for a pool of so many connections; whoever wants one waits so long.
    pub(crate) fn of(connections: usize, wait: Duration) -> Turns {
        Turns { free: Arc::new(Semaphore::new((connections / 2).max(1))), wait }
    }

    /// One, if one is free.
    pub(crate) fn free(&self) -> Option<Turn> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// The next one.
    ///
    /// Errors: MB103 if none came in time. The database is not in trouble, and others of its project go on.
    pub(crate) async fn next(&self) -> Result<Turn> {
        match timeout(self.wait, self.free.clone().acquire_owned()).await {
            Ok(turn) => Ok(turn.expect("the semaphore is never closed")),
            Err(_) => Err(EXPORTS
                .error("too many long answers are being read at once")
                .with_header(RETRY_AFTER, HeaderValue::from_static("1"))),
        }
    }
}
