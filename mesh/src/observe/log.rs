//! Decisions of the mesh as log lines.
//!
//! Exchanges are the access log's. Every kind of event has a rate of its own, so that a flood of one neither fills the
//! log nor hides another.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base::Clock;
use base::gcra::{Limiter, Rate};
use tracing::Level;

use super::{Event, Observer, to_json};

/// Lines of one kind that may come at once, and in how long as many again.
const RATE: Rate = Rate { burst: 10, period: Duration::from_secs(10) };
/// More kinds than there are.
const MAX_KINDS: usize = 64;

/// An observer that writes decisions to `tracing`, under the target `mesh`.
///
/// `warn` for what somebody may have to look at, `info` for changes of state, `debug` for what happens to single
/// requests. Ten lines per kind at once and one per second after that; what was left out is counted in the next line's
/// `suppressed`.
pub fn log(clock: Clock) -> Observer {
    let gate = Gate::new(clock);
    Observer::new(move |event| {
        let Some(level) = level(event) else { return };
        let kind = event.name();
        if !is_wanted(level) {
            return;
        }
        let Some(suppressed) = gate.pass(kind) else { return };
        let line = to_json(event);
        match level {
            Level::WARN => tracing::warn!(target: "mesh", kind, suppressed, "{line}"),
            Level::INFO => tracing::info!(target: "mesh", kind, suppressed, "{line}"),
            _ => tracing::debug!(target: "mesh", kind, suppressed, "{line}"),
        }
    })
}

/// Whether anybody reads lines of this level: if not, not even their rate is looked at.
fn is_wanted(level: Level) -> bool {
    match level {
        Level::WARN => tracing::enabled!(target: "mesh", Level::WARN),
        Level::INFO => tracing::enabled!(target: "mesh", Level::INFO),
        _ => tracing::enabled!(target: "mesh", Level::DEBUG),
    }
}

/// The level of an event; `None` if it is not the log's.
fn level(event: &Event) -> Option<Level> {
    Some(match event {
        Event::Ended(_) => return None,
        Event::Attempted { .. }
        | Event::Retried { .. }
        | Event::Hedged { .. }
        | Event::FaultInjected { .. }
        | Event::Mirrored { .. }
        | Event::ConnectionEnded { .. } => Level::DEBUG,
        trouble if trouble.is_trouble() => Level::WARN,
        _ => Level::INFO,
    })
}

/// Lets so many lines of each kind through.
struct Gate {
    clock: Clock,
    rates: Limiter<&'static str>,
    /// Kind → lines left out since the last one.
    suppressed: Mutex<HashMap<&'static str, u64>>,
}

impl Gate {
    fn new(clock: Clock) -> Gate {
        Gate { clock, rates: Limiter::new(RATE, MAX_KINDS), suppressed: Mutex::default() }
    }

    /// How many lines were left out before this one, or `None` if it is left out too.
    fn pass(&self, kind: &'static str) -> Option<u64> {
        let passes = self.rates.check(kind, self.clock.now()).is_ok();
        let mut suppressed = self.suppressed.lock().expect("no holder of this lock panics");
        let count = suppressed.entry(kind).or_default();
        if passes {
            return Some(std::mem::take(count));
        }
        *count += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::super::sample::everything;
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_thinned_and_counted_and_hides_no_other() {
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        let gate = Gate::new(clock.clone());

        let passed = (0..1_000).filter(|_| gate.pass("denied").is_some()).count();

        assert_eq!(passed, 10);
        assert_eq!(gate.pass("ejected"), Some(0));
        clock.advance(Duration::from_secs(1));
        assert_eq!(gate.pass("denied"), Some(990));
        assert_eq!(gate.pass("denied"), None);
    }

    #[test]
    fn trouble_warns_and_exchanges_are_not_the_logs() {
        let levels: HashMap<_, _> = everything().iter().map(|event| (event.name(), level(event))).collect();

        assert_eq!(levels["ended"], None);
        for kind in
            ["ejected", "handshake_failed", "discovery_failed", "certificate_rejected", "denied", "shed"]
        {
            assert_eq!(levels[kind], Some(Level::WARN), "{kind}");
        }
        assert_eq!(levels["config_applied"], Some(Level::INFO));
        assert_eq!(levels["attempted"], Some(Level::DEBUG));
    }
}
