//! What must hold of a statement's result before it may be committed.

use base::Result;

use super::Outcome;
use crate::error::{MAX_AFFECTED, PUT_MISMATCH, SINGULAR};
use crate::plan::{Operation, Plan};
use crate::request::{Action, ApiRequest};

/// A condition on the number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Exactly one, because one object is the answer.
    Single,
    /// Exactly one, because the row in the body is the row that the filter names.
    Matching,
    /// At most so many.
    AtMost(i64),
}

/// What must hold of a request's result.
pub(crate) fn of(request: &ApiRequest, plan: &Plan) -> Vec<Check> {
    if request.target.action == Action::Upsert {
        return vec![Check::Matching];
    }
    let affects = matches!(request.target.action, Action::Update | Action::Delete)
        || matches!(plan.operation, Operation::Call(_));
    let at_most = request.preferences.enforced_maximum().filter(|_| affects).map(Check::AtMost);
    let single = plan.format.media_type.is_object().then_some(Check::Single);
    single.into_iter().chain(at_most).collect()
}

impl Check {
    /// Whether it holds. Errors: PGRST115, PGRST116, PGRST124.
    pub(crate) fn verify(self, outcome: &Outcome) -> Result<()> {
        let rows = outcome.page;
        match self {
            Check::Single if rows != 1 => Err(SINGULAR
                .error("Cannot coerce the result to a single JSON object")
                .with_details(format!("The result contains {rows} rows"))),
            Check::Matching if rows != 1 => {
                Err(PUT_MISMATCH.error("Payload values do not match URL in primary key column(s)"))
            }
            Check::AtMost(most) if rows > most => Err(MAX_AFFECTED
                .error("Query result exceeds max-affected preference constraint")
                .with_details(format!("The query affects {rows} rows"))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(page: i64) -> Outcome {
        Outcome { page, ..Outcome::default() }
    }

    #[test]
    fn each_check_has_its_number() {
        assert!(Check::Single.verify(&rows(1)).is_ok());
        assert_eq!(Check::Single.verify(&rows(0)).unwrap_err().code, SINGULAR);
        assert_eq!(Check::Matching.verify(&rows(2)).unwrap_err().code, PUT_MISMATCH);
        assert!(Check::AtMost(2).verify(&rows(2)).is_ok());
        assert_eq!(Check::AtMost(2).verify(&rows(3)).unwrap_err().code, MAX_AFFECTED);
    }
}
