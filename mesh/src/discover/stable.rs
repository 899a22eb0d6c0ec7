//! Keeps the last good endpoints while discovery fails, finds nothing, or flaps.
//!
//! A wrong «there are none» is an outage; a wrong «this one is still there» costs a failed connection that is retried
//! elsewhere. Source: `StabilizingAddr` of Finagle; self-preservation of Eureka.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Address, Found, MAX_ENDPOINTS};

/// Successive answers that must lack an endpoint before it goes.
const ANSWERS: u32 = 2;

/// What is known of one service's endpoints, and what was known before.
#[derive(Debug)]
pub(crate) struct Stable {
    /// How long an endpoint that one answer lacked stays at most; `None` if it goes at once.
    hold: Option<Duration>,
    /// The set in force.
    known: Vec<Found>,
    /// Those of it that the last answers lacked.
    missing: HashMap<Address, Missing>,
    /// Whether the last answer was an error or empty.
    failing: bool,
    /// Whether it is believed that there are none.
    believes_none: bool,
}

#[derive(Debug)]
struct Missing {
    since: Instant,
    answers: u32,
}

/// What follows from an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The set that is in force now, if the answer was of use.
    pub(crate) set: Option<Vec<Found>>,
    /// What happened, if discovery worked until now.
    pub(crate) failed: Option<String>,
}

impl Stable {
    /// For sources whose sets are true as they come: lists and registries.
    pub(crate) fn at_once() -> Stable {
        Stable {
            hold: None,
            known: Vec::new(),
            missing: HashMap::new(),
            failing: false,
            believes_none: false,
        }
    }

    /// For sources that know when there are none, and whose addresses somebody else may have next: Kubernetes.
    pub(crate) fn to_the_letter() -> Stable {
        Stable { believes_none: true, ..Stable::at_once() }
    }

    /// For sources that forget at times, such as DNS: an endpoint goes after two successive answers without it, or
    /// `hold` after the first one.
    pub(crate) fn holding(hold: Duration) -> Stable {
        Stable { hold: Some(hold), ..Stable::at_once() }
    }

    /// Takes one answer. Of an address that is told twice the first one counts. An error or an empty answer changes
    /// nothing, and is told only if the answer before was good.
    pub(crate) fn take(&mut self, answer: Result<Vec<Found>, String>, now: Instant) -> Taken {
        let (set, detail) = match answer {
            Ok(set) if !set.is_empty() => {
                self.failing = false;
                return Taken { set: Some(self.merge(set, now)), failed: None };
            }
            Ok(none) => {
                (self.believes_none.then(|| self.merge(none, now)), "no endpoints were found".to_owned())
            }
            Err(error) => (None, error),
        };
        let failed = (!self.failing).then_some(detail);
        self.failing = true;
        Taken { set, failed }
    }

    /// When the first of the held endpoints goes if no answer comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        let hold = self.hold?;
        self.missing.values().map(|missing| missing.since + hold).min()
    }

    /// Lets go what was held long enough: the set that is in force now.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Found> {
        let hold = self.hold.unwrap_or_default();
        self.missing.retain(|address, missing| {
            let stays = now.duration_since(missing.since) < hold;
            if !stays {
                self.known.retain(|found| found.address != *address);
            }
            stays
        });
        self.known.clone()
    }

    /// The set `told`, and those of the set before it that are held.
    fn merge(&mut self, mut told: Vec<Found>, now: Instant) -> Vec<Found> {
        let mut addresses = HashSet::new();
        told.retain(|found| addresses.len() < MAX_ENDPOINTS && addresses.insert(found.address.clone()));
        let before = std::mem::take(&mut self.known);
        self.missing.retain(|address, _| !addresses.contains(address));
        if let Some(hold) = self.hold {
            let gone = before.into_iter().filter(|found| !addresses.contains(&found.address));
            for found in gone.take(MAX_ENDPOINTS - told.len()) {
                let missing =
                    self.missing.entry(found.address.clone()).or_insert(Missing { since: now, answers: 0 });
                missing.answers += 1;
                if missing.answers < ANSWERS && now.duration_since(missing.since) < hold {
                    told.push(found);
                } else {
                    self.missing.remove(&found.address);
                }
            }
        }
        self.known = told;
        self.known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(30);

    fn set(ports: &[u16]) -> Vec<Found> {
        ports.iter().map(|port| Found::at(Address::Tcp(([10, 0, 0, 1], *port).into()))).collect()
    }

    fn ports(found: &[Found]) -> Vec<u16> {
        let mut ports: Vec<u16> = found
            .iter()
            .map(|found| match &found.address {
                Address::Tcp(address) => address.port(),
                other => panic!("{other}"),
            })
            .collect();
        ports.sort_unstable();
        ports
    }

    fn told(stable: &mut Stable, answer: &[u16], now: Instant) -> Vec<u16> {
        ports(&stable.take(Ok(set(answer)), now).set.expect("an answer of use"))
    }

    #[test]
    fn an_endpoint_goes_when_two_answers_in_a_row_lack_it() {
        let (mut stable, now) = (Stable::holding(HOLD), Instant::now());
        told(&mut stable, &[1, 2], now);

        assert_eq!(told(&mut stable, &[1], now), [1, 2], "missing once");
        assert_eq!(told(&mut stable, &[1, 2], now), [1, 2], "and back");
        assert_eq!(told(&mut stable, &[1], now), [1, 2], "missing once again");
        assert_eq!(told(&mut stable, &[1], now), [1], "missing twice in a row");
        assert_eq!(stable.due(), None);
    }

    #[test]
    fn an_endpoint_goes_when_it_was_missing_for_too_long() {
        let (mut stable, now) = (Stable::holding(HOLD), Instant::now());
        told(&mut stable, &[1, 2], now);
        told(&mut stable, &[1], now);

        assert_eq!(stable.due(), Some(now + HOLD));
        assert_eq!(ports(&stable.expire(now + HOLD - Duration::from_millis(1))), [1, 2]);
        assert_eq!(ports(&stable.expire(now + HOLD)), [1]);
        assert_eq!(stable.due(), None);
    }

    #[test]
    fn errors_and_empty_answers_keep_the_last_good_set_and_are_told_once() {
        let (mut stable, now) = (Stable::holding(HOLD), Instant::now());
        told(&mut stable, &[1, 2], now);

        let first = stable.take(Err("no name server".to_owned()), now);
        let second = stable.take(Ok(Vec::new()), now);
        told(&mut stable, &[1, 2], now);
        let third = stable.take(Ok(Vec::new()), now);

        assert_eq!(first, Taken { set: None, failed: Some("no name server".to_owned()) });
        assert_eq!(second, Taken::default(), "it was failing already");
        assert!(third.failed.is_some(), "it worked in between");
    }

    #[test]
    fn an_error_is_no_answer_that_lacks_an_endpoint() {
        let (mut stable, now) = (Stable::holding(HOLD), Instant::now());
        told(&mut stable, &[1, 2], now);
        told(&mut stable, &[1], now);

        stable.take(Err("timeout".to_owned()), now);
        stable.take(Ok(Vec::new()), now);

        assert_eq!(ports(&stable.expire(now)), [1, 2]);
    }

    #[test]
    fn true_sources_are_followed_at_once() {
        let (mut stable, now) = (Stable::at_once(), Instant::now());
        told(&mut stable, &[1, 2], now);

        assert_eq!(told(&mut stable, &[2, 3], now), [2, 3]);
        assert_eq!(stable.due(), None);
    }

    #[test]
    fn who_knows_that_there_are_none_is_believed() {
        let (mut stable, now) = (Stable::to_the_letter(), Instant::now());
        told(&mut stable, &[1, 2], now);

        let gone = stable.take(Ok(Vec::new()), now);
        assert_eq!(gone.set, Some(Vec::new()));
        assert!(gone.failed.is_some(), "it is told");

        told(&mut stable, &[3], now);
        assert_eq!(stable.take(Err("away".to_owned()), now).set, None, "an error is not `none`");
    }

    #[test]
    fn an_address_told_twice_counts_once_and_sets_are_bounded() {
        let (mut stable, now) = (Stable::holding(HOLD), Instant::now());

        assert_eq!(told(&mut stable, &[1, 1], now), [1]);

        let many: Vec<u16> = (10_000..20_000).collect();
        assert_eq!(told(&mut stable, &many, now).len(), MAX_ENDPOINTS);
        let others: Vec<u16> = (30_000..40_000).collect();
        assert_eq!(told(&mut stable, &others, now).len(), MAX_ENDPOINTS, "held ones count");
    }
}
