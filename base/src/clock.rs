//! Time, ids and randomness, injected so that tests decide them. `clippy.toml` bans the global ones.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use uuid::Uuid;

/// A moment in UTC, in whole microseconds: what PostgreSQL stores and the wire formats print.
pub type Timestamp = time::OffsetDateTime;

/// The wall clock, real or fixed.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Fixed(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `at` until [`Clock::advance`] moves it; clones move together.
    pub fn fixed(at: Timestamp) -> Clock {
        Clock(Source::Fixed(Arc::new(Mutex::new(at))))
    }

    /// Now, cut to microseconds so that a value survives a round trip through PostgreSQL.
    pub fn now(&self) -> Timestamp {
        let now = match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Source::System => Timestamp::now_utc(),
            Source::Fixed(at) => *at.lock().expect("no holder of this lock panics"),
        };
        let nanosecond = now.nanosecond();
        now.replace_nanosecond(nanosecond - nanosecond % 1000).expect("fewer nanoseconds stay in range")
    }

    /// Seconds since 1970, as JWT claims count them.
    pub fn unix(&self) -> i64 {
        self.now().unix_timestamp()
    }

    /// Moves a fixed clock forward; the system clock ignores it.
    pub fn advance(&self, by: Duration) {
        if let Source::Fixed(at) = &self.0 {
            *at.lock().expect("no holder of this lock panics") += by;
        }
    }
}

/// A source of random bytes: the operating system's, or a counter that tests can predict.
#[derive(Clone)]
pub struct Random(Entropy);

#[derive(Clone)]
enum Entropy {
    System,
    Counting(Arc<Mutex<u64>>),
}

impl Random {
    /// Cryptographically secure bytes.
    pub fn system() -> Random {
        Random(Entropy::System)
    }

    /// 1, 2, 3, … spread over the bytes asked for. For tests alone.
    pub fn counting() -> Random {
        Random(Entropy::Counting(Arc::new(Mutex::new(0))))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that asks the system for randomness"
            )]
            Entropy::System => aws_lc_rs::rand::fill(bytes).expect("the system's random source answers"),
            Entropy::Counting(counter) => {
                let mut counter = counter.lock().expect("no holder of this lock panics");
                *counter += 1;
                bytes.fill(0);
                for (to, from) in bytes.iter_mut().rev().zip(counter.to_le_bytes()) {
                    *to = from;
                }
            }
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A version 4 UUID.
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// `bytes` random bytes as URL-safe base64 without padding: 4 characters for 3 bytes.
    pub fn token(&self, bytes: usize) -> String {
        use base64::Engine;
        let mut raw = vec![0; bytes];
        self.fill(&mut raw);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw)
    }

    /// `count` decimal digits, each equally likely, for codes a person types.
    pub fn digits(&self, count: usize) -> String {
        let mut digits = String::with_capacity(count);
        while digits.len() < count {
            let [byte] = self.bytes();
            // 250 is the largest multiple of ten in a byte: beyond it some digits would be likelier
            if byte < 250 {
                digits.push(char::from(b'0' + byte % 10));
            }
        }
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_clocks_move_together() {
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        let twin = clock.clone();

        clock.advance(Duration::from_secs(5));

        assert_eq!(twin.unix(), 5);
    }

    #[test]
    fn digits_have_the_length_asked_for() {
        let digits = Random::system().digits(6);

        assert_eq!(digits.len(), 6);
        assert!(digits.bytes().all(|b| b.is_ascii_digit()));
    }

    #[test]
    fn now_is_whole_microseconds() {
        assert_eq!(Clock::system().now().nanosecond() % 1000, 0);
    }
}
