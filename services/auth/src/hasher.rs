//! The bounded pool that hashes passwords: as many at once as there are cores, a short queue, then "come back".
//!
//! Refreshes do not pass here, so that a storm of sign-ins cannot stop them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::error::OrInternal;
use base::header::Fault;
use base::{Random, Result, Secret};
use tokio::sync::Semaphore;

use crate::error::retry_later;
use crate::password::{self, MAX_BYTES, Memory, Password, Verdict};

/// How long a request waits for its turn.
const WAIT: Duration = Duration::from_secs(2);
/// Requests that may wait per core: what a core gets done within [`WAIT`].
const QUEUE_PER_CORE: usize = 128;
/// Work areas kept for the next hash, 7 MiB each; more are made and dropped as needed.
const MAX_KEPT: usize = 4;

/// Hashes and verifies passwords. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    kept: Arc<Mutex<Vec<Memory>>>,
    random: Random,
    /// Verified instead of a hash that does not exist, so that the time tells nothing.
    dummy: Arc<str>,
}

impl Hasher {
    pub(crate) fn new(random: Random) -> Result<Hasher> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut memory = password::memory();
        let dummy = password::hash(&random.token(18), &random.bytes(), &mut memory)?.into();
        Ok(Hasher {
            turns: Arc::new(Semaphore::new(cores)),
            queue: Arc::new(Semaphore::new(cores * (QUEUE_PER_CORE + 1))),
            kept: Arc::new(Mutex::new(vec![memory])),
            random,
            dummy,
        })
    }

    /// The PHC string to store. Errors: unavailable when too many wait.
    pub(crate) async fn hash(&self, password: &Password) -> Result<String> {
        let (password, salt) = (password.clone(), self.random.bytes::<16>());
        self.run(move |memory| password::hash(password.expose(), &salt, memory)).await?
    }

    /// Compares `guess` with what is stored; without anything stored it takes as long and is wrong.
    pub(crate) async fn verify(&self, guess: &str, stored: Option<&str>) -> Result<Verdict> {
        let stored = stored.filter(|stored| !stored.is_empty() && guess.len() <= MAX_BYTES);
        let known = stored.is_some();
        let (guess, stored) = (Secret::new(guess), stored.unwrap_or(&self.dummy).to_owned());
        let verdict = self.run(move |memory| password::verify(guess.expose(), &stored, memory)).await?;
        Ok(if known { verdict } else { Verdict::Wrong })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        let busy = || retry_later(Fault::Overload, 1);
        let _waiting = self.queue.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn =
            tokio::time::timeout(WAIT, self.turns.clone().acquire_owned()).await.map_err(|_| busy())?;
        let (turn, kept) = (turn.or_internal()?, self.kept.clone());
        // the turn goes with the work: a caller that goes away does not let another hash start beside this one
        let hashing = tokio::task::spawn_blocking(move || {
            let mut memory = take(&kept);
            let result = work(&mut memory);
            keep(&kept, memory);
            drop(turn);
            result
        });
        hashing.await.or_internal()
    }
}

fn take(kept: &Mutex<Vec<Memory>>) -> Memory {
    let memory = kept.lock().expect("no holder of this lock panics").pop();
    memory.unwrap_or_else(password::memory)
}

fn keep(kept: &Mutex<Vec<Memory>>, memory: Memory) {
    let mut kept = kept.lock().expect("no holder of this lock panics");
    if kept.len() < MAX_KEPT {
        kept.push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_beyond_the_queue() {
        let mut hasher = Hasher::new(Random::system()).unwrap();
        hasher.queue = Arc::new(Semaphore::new(0));

        let error = hasher.verify("correct horse", None).await.unwrap_err();

        assert_eq!(error.status(), 503);
        assert_eq!(error.headers["x-meshbase-fault"], "overload");
        assert!(error.headers.contains_key("retry-after"));
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_wait() {
        let mut hasher = Hasher::new(Random::system()).unwrap();
        hasher.turns = Arc::new(Semaphore::new(0));
        tokio::time::pause();

        assert_eq!(hasher.verify("correct horse", None).await.unwrap_err().status(), 503);
    }

    #[tokio::test]
    async fn an_unknown_user_or_an_endless_guess_is_wrong() {
        let hasher = Hasher::new(Random::system()).unwrap();
        let stored = hasher.hash(&Password::accept("correct horse", 6).unwrap()).await.unwrap();

        assert_eq!(hasher.verify("correct horse", Some(&stored)).await.unwrap(), Verdict::Right);
        assert_eq!(hasher.verify("correct horse", None).await.unwrap(), Verdict::Wrong);
        assert_eq!(hasher.verify("correct horse", Some("")).await.unwrap(), Verdict::Wrong);
        assert_eq!(hasher.verify(&"ä".repeat(100_000), Some(&stored)).await.unwrap(), Verdict::Wrong);
    }
}
