//! Trouble on purpose: which requests meet it, and what it is.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::balance::Dice;
use crate::resource::Fault;

/// A [`Fault`] as a request meets it.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    percent: f64,
    /// Each must be there; with this value, if there is one.
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    injected: Injected,
}

/// What a request has to bear: first the wait, then the status in the place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    /// A wait before everything else.
    pub(crate) delay: Option<Duration>,
    /// The answer. Without one the request goes its way.
    pub(crate) abort: Option<StatusCode>,
}

impl Faults {
    /// Reads a fault.
    ///
    /// Errors: a percentage that is none, a header that cannot be, a status that no answer has, no trouble at all.
    pub(crate) fn compile(fault: &Fault) -> Result<Faults, String> {
        if !(0.0..=100.0).contains(&fault.percent) {
            return Err(format!("a fault of {} percent is not between 0 and 100", fault.percent));
        }
        let abort = fault.abort.map(status).transpose()?;
        if abort.is_none() && fault.delay.is_none() {
            return Err("a fault needs delay_ms or abort".to_owned());
        }
        let headers =
            fault.headers.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>()?;
        Ok(Faults { percent: fault.percent, headers, injected: Injected { delay: fault.delay, abort } })
    }

    /// What meets a request with these headers, if anything does.
    pub(crate) fn decide(&self, headers: &HeaderMap, dice: &Dice) -> Option<Injected> {
        let meant = self.headers.iter().all(|(name, wanted)| match wanted {
            Some(wanted) => headers.get_all(name).iter().any(|value| value == wanted),
            None => headers.contains_key(name),
        });
        (meant && dice.unit() * 100.0 < self.percent).then_some(self.injected)
    }
}

fn status(code: u16) -> Result<StatusCode, String> {
    let status = StatusCode::from_u16(code).ok().filter(|status| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| format!("a fault cannot answer with the status {code}"))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, Option<HeaderValue>), String> {
    let bad = |what: &str| format!("a fault asks for the header {name:?}, whose {what} cannot be");
    let wanted = match value {
        "*" => None,
        value => Some(value.parse().map_err(|_| bad("value"))?),
    };
    Ok((name.parse().map_err(|_| bad("name"))?, wanted))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn fault(percent: f64, headers: &[(&str, &str)]) -> Fault {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Fault { percent, headers, delay: Some(Duration::from_millis(5)), abort: Some(503) }
    }

    fn hits(fault: &Fault, headers: &[(&'static str, &'static str)]) -> usize {
        let (faults, dice) = (Faults::compile(fault).unwrap(), Dice::new(3));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        (0..1000).filter(|_| faults.decide(&map, &dice).is_some()).count()
    }

    #[test]
    fn all_none_or_a_part_of_the_requests_are_met() {
        assert_eq!(hits(&fault(100.0, &[]), &[]), 1000);
        assert_eq!(hits(&fault(0.0, &[]), &[]), 0);
        assert!((400..600).contains(&hits(&fault(50.0, &[]), &[])));
    }

    #[test]
    fn only_requests_with_all_the_headers_are_met() {
        let fault = fault(100.0, &[("x-chaos", "yes"), ("x-user", "*")]);

        assert_eq!(hits(&fault, &[("x-chaos", "no"), ("x-chaos", "yes"), ("x-user", "ann")]), 1000);
        assert_eq!(hits(&fault, &[("x-chaos", "no"), ("x-user", "ann")]), 0);
        assert_eq!(hits(&fault, &[("x-chaos", "yes")]), 0);
    }

    #[test]
    fn a_fault_that_cannot_be_is_refused() {
        let nothing = Fault { delay: None, abort: None, ..fault(1.0, &[]) };
        let status = |abort| Fault { abort: Some(abort), ..fault(1.0, &[]) };
        let wrong = [
            fault(101.0, &[]),
            fault(-1.0, &[]),
            fault(f64::NAN, &[]),
            fault(1.0, &[("a b", "x")]),
            fault(1.0, &[("a", "x\n")]),
            status(101),
            status(600),
            nothing,
        ];

        assert!(wrong.iter().all(|fault| Faults::compile(fault).is_err()));
    }
}
