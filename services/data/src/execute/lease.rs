//! A connection on loan, which goes back to its pool only if nothing of the request is left on it.

use super::connection::{Connection, Loan};
use super::turns::Turn;

/// A connection that a request works on.
///
/// A request can vanish at any await point, because its client did. Whatever is then open – a transaction, a role,
/// a statement under way – must not meet the next request: dropped without [`Lease::finish`], the connection is
/// cancelled and closed instead of returned.
pub(crate) struct Lease {
    loan: Option<Loan>,
    turn: Option<Turn>,
    finished: bool,
}

impl Lease {
    /// Takes charge of a loan.
    pub(crate) fn new(loan: Loan) -> Lease {
        Lease { loan: Some(loan), turn: None, finished: false }
    }

    /// The connection.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.loan.as_mut().expect("the loan is there until the lease is dropped")
    }

    /// Holds a turn for as long as the connection is not free.
    pub(crate) fn hold(&mut self, turn: Option<Turn>) {
        self.turn = turn;
    }

    /// Whether it holds one.
    pub(crate) fn holds_a_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// States that the server was seen idle, outside any transaction: the connection may serve others.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether the connection may serve others.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(loan) = self.loan.take() else { return };
        if self.finished {
            return;
        }
        let doomed = Doomed(Some(loan), self.turn.take());
        // its place in the pool stays taken until the server let go: aborted requests open no extra connections
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some(loan) = &doomed.0 {
                    loan.cancel().await;
                }
            });
        }
    }
}

/// A connection that never goes back, even if the task that cancels it does not get to run.
struct Doomed(Option<Loan>, #[expect(dead_code, reason = "held until the loan is back")] Option<Turn>);

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(loan) = self.0.take() {
            drop(Loan::take(loan));
        }
    }
}
