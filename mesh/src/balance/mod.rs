//! Which endpoint takes a request: what is known of each one's load and health, and the choice between them.

mod balancer;
mod check;
mod dice;
#[cfg(test)]
mod fixture;
mod group;
mod health;
mod load;
mod member;
mod pick;
mod ring;
mod rule;
mod set;
#[cfg(test)]
mod simulation;
mod window;

pub(crate) use balancer::Balancer;
pub(crate) use check::run;
pub(crate) use dice::Dice;
pub(crate) use member::Member;
pub(crate) use pick::{Outcome, Pick};
