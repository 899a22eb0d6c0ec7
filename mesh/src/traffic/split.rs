//! Which of several services a request goes to, and whether a copy of it goes elsewhere too.

use crate::balance::Dice;
use crate::observe::Name;
use crate::resource::{Mirror, Split};

use super::hash::{hash, mix};

/// A [`Split`] as a request meets it.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    /// With the share and the hash of each name.
    services: Vec<(Name, u32, u64)>,
    total: u64,
}

impl Splitter {
    /// Reads a split.
    ///
    /// Errors: no service has a share, or one is named twice.
    pub(crate) fn compile(split: &Split) -> Result<Splitter, String> {
        let services: Vec<_> = split
            .to
            .iter()
            .map(|backend| (Name::from(&*backend.service), backend.weight, hash(backend.service.as_bytes())))
            .collect();
        for (n, (name, ..)) in services.iter().enumerate() {
            if services[..n].iter().any(|(other, ..)| other == name) {
                return Err(format!("the split names {name} twice"));
            }
        }
        let total = services.iter().map(|(_, weight, _)| u64::from(*weight)).sum();
        if total == 0 {
            return Err("no service of the split has a weight".to_owned());
        }
        Ok(Splitter { services, total })
    }

    /// The service for a request: by `value` if there is one, by the dice otherwise. O(services).
    ///
    /// The same value goes to the same service for as long as the weights stay. If one service's weight grows, values
    /// move only to it, and if it shrinks, only from it: no caller changes between two others. That is weighted
    /// rendezvous hashing (Thaler and Ravishankar, 1998): each service draws `-weight / ln(u)` with a `u` from (0, 1)
    /// that its name and the value fix, and the highest wins.
    pub(crate) fn choose(&self, value: Option<u64>, dice: &Dice) -> &Name {
        match value {
            Some(value) => self.by_value(value),
            None => self.by_lot(dice.next() % self.total),
        }
    }

    fn by_value(&self, value: u64) -> &Name {
        let score = |weight: u32, name: u64| -f64::from(weight) / unit(mix(value ^ name)).ln();
        let best =
            self.services.iter().max_by(|(_, a, x), (_, b, y)| score(*a, *x).total_cmp(&score(*b, *y)));
        &best.expect("a compiled split has a service").0
    }

    fn by_lot(&self, mut lot: u64) -> &Name {
        let chosen = self.services.iter().find(|(_, weight, _)| {
            let weight = u64::from(*weight);
            let won = lot < weight;
            lot = lot.saturating_sub(weight);
            won
        });
        &chosen.expect("a lot is below the sum of the weights").0
    }
}

/// Whether this request is one of those that are copied.
pub(crate) fn mirrors(mirror: &Mirror, dice: &Dice) -> bool {
    dice.unit() * 100.0 < mirror.percent
}

/// `bits` as a number in (0, 1), both ends left out.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::resource::Backend;

    fn splitter(weights: &[u32]) -> Splitter {
        let backend =
            |(n, weight): (usize, &u32)| Backend { service: format!("service-{n}"), weight: *weight };
        let to = weights.iter().enumerate().map(backend).collect();
        Splitter::compile(&Split { to, sticky: None }).unwrap()
    }

    fn shares(splitter: &Splitter, value: impl Fn(u64) -> Option<u64>) -> HashMap<String, u32> {
        let dice = Dice::new(7);
        let mut shares = HashMap::new();
        for n in 0..20_000 {
            *shares.entry(splitter.choose(value(n), &dice).to_string()).or_default() += 1;
        }
        shares
    }

    #[test]
    fn shares_follow_the_weights() {
        let splitter = splitter(&[12, 6, 2, 0]);

        for shares in [shares(&splitter, |_| None), shares(&splitter, |n| Some(hash(&n.to_le_bytes())))] {
            assert!(shares["service-0"].abs_diff(12_000) < 300, "{shares:?}");
            assert!(shares["service-1"].abs_diff(6_000) < 300, "{shares:?}");
            assert!(shares["service-2"].abs_diff(2_000) < 200, "{shares:?}");
            assert!(!shares.contains_key("service-3"), "{shares:?}");
        }
    }

    #[test]
    fn a_split_nobody_can_follow_is_refused() {
        let backend = |service: &str, weight| Backend { service: service.to_owned(), weight };
        let compile = |to| Splitter::compile(&Split { to, sticky: None });

        assert!(compile(vec![backend("a", 0)]).is_err());
        assert!(compile(vec![]).is_err());
        assert!(compile(vec![backend("a", 1), backend("a", 2)]).is_err());
    }

    #[test]
    fn a_mirror_of_no_or_all_requests_is_exact() {
        let dice = Dice::new(1);
        let mirror = |percent| Mirror { service: "copy".to_owned(), percent };

        assert!((0..1000).all(|_| mirrors(&mirror(100.0), &dice)));
        assert!(!(0..1000).any(|_| mirrors(&mirror(0.0), &dice)));
        let some = (0..10_000).filter(|_| mirrors(&mirror(10.0), &dice)).count();
        assert!((900..1100).contains(&some), "{some}");
    }

    proptest! {
        #[test]
        fn a_change_of_one_weight_moves_only_to_or_from_its_service(
            weights in prop::collection::vec(1_u32..100, 2..6),
            changed in any::<prop::sample::Index>(),
            to in 0_u32..200,
            values in prop::collection::vec(any::<u64>(), 50),
        ) {
            let changed = changed.index(weights.len());
            let mut other = weights.clone();
            other[changed] = to;
            let (before, after) = (splitter(&weights), splitter(&other));
            let dice = Dice::new(0);

            for value in values {
                let from = before.choose(Some(value), &dice);
                let onto = after.choose(Some(value), &dice);
                if from != onto {
                    let name = format!("service-{changed}");
                    let gained = to > weights[changed];
                    prop_assert_eq!(if gained { &**onto } else { &**from }, name.as_str());
                }
            }
        }
    }
}
