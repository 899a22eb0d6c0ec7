//! Two connections joined: what one side sends, the other gets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::observe::{Event, Name, Side};

/// A direction starts with a small buffer and gets a large one once it moves in bulk: most connections rest.
const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 64 * 1024;

/// What went over a joined connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Bytes from the caller.
    pub(crate) sent: u64,
    /// Bytes to the caller.
    pub(crate) received: u64,
    /// How long it lived.
    pub(crate) duration: Duration,
}

impl Ended {
    pub(crate) fn event(self, side: Side, destination: Name) -> Event {
        let Ended { sent, received, duration } = self;
        Event::ConnectionEnded { side, destination, sent, received, duration }
    }
}

/// Copies bytes both ways until both sides ended, nothing moved for `idle`, or `life` is over.
pub(crate) async fn splice(
    caller: impl AsyncRead + AsyncWrite,
    callee: impl AsyncRead + AsyncWrite,
    idle: Duration,
    life: Duration,
) -> Ended {
    let started = Instant::now();
    let (from_caller, to_caller) = tokio::io::split(caller);
    let (from_callee, to_callee) = tokio::io::split(callee);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    // one clock over both directions: a socket that only sends is not idle
    let moved = || sent.load(Ordering::Relaxed).wrapping_add(received.load(Ordering::Relaxed));
    {
        let copied = async {
            tokio::try_join!(copy(from_caller, to_callee, &sent), copy(from_callee, to_caller, &received))
        };
        tokio::select! {
            _ = copied => {}
            () = quiet(idle, moved) => {}
            () = tokio::time::sleep(life) => {}
        }
    }
    Ended { sent: sent.into_inner(), received: received.into_inner(), duration: started.elapsed() }
}

/// Copies until the end, then ends the other side's direction too. A connection that breaks, or was cut, does so in
/// both directions: an error ends everything.
async fn copy(from: impl AsyncRead, to: impl AsyncWrite, moved: &AtomicU64) -> std::io::Result<()> {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let mut buffer = vec![0; SMALL_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        moved.fetch_add(count as u64, Ordering::Relaxed);
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        if count == SMALL_BYTES {
            buffer.resize(LARGE_BYTES, 0);
        }
    }
}

/// Resolves when `moved` stays the same for `idle`, at the latest after twice that time.
async fn quiet(idle: Duration, moved: impl Fn() -> u64) {
    let mut before = None;
    loop {
        let now = Some(moved());
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(idle).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn each_direction_ends_by_itself() {
        let (mut caller, ours) = tokio::io::duplex(1 << 20);
        let (theirs, mut callee) = tokio::io::duplex(1 << 20);
        let joined = tokio::spawn(splice(ours, theirs, LONG, LONG));

        caller.write_all(&[1; 100_000]).await.unwrap();
        caller.shutdown().await.unwrap();
        let mut request = Vec::new();
        callee.read_to_end(&mut request).await.unwrap();
        callee.write_all(b"answer").await.unwrap();
        drop(callee);
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).await.unwrap();

        let ended = joined.await.unwrap();
        assert_eq!((request.len(), answer.as_slice()), (100_000, &b"answer"[..]));
        assert_eq!((ended.sent, ended.received), (100_000, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_age_end_it() {
        for (idle, life) in [(Duration::from_secs(1), LONG), (LONG, Duration::from_secs(1))] {
            let (_caller, ours) = tokio::io::duplex(64);
            let (theirs, _callee) = tokio::io::duplex(64);

            let ended = splice(ours, theirs, idle, life).await;

            assert!(ended.duration <= Duration::from_secs(2), "{idle:?} {life:?}");
        }
    }
}
