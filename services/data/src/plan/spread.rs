//! Spread relations: what of them their parent shows as its own.
//!
//! An aggregate in a relation to-one would be over one row each time, so it is taken over the parent's rows instead:
//! up to the root, or to the relation that is not spread itself.

use base::Result;

use super::read::ReadPlan;
use crate::error::NOT_IMPLEMENTED;
use crate::request::select::{Aggregate, Cast};

/// A column of a spread relation, as its parent shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    /// The column's name in the relation's rows, and in the parent's unless it has another there.
    pub(crate) name: String,
    /// Its name in the answer, or where an aggregate passes through.
    pub(crate) alias: Option<String>,
    pub(crate) aggregate: Option<Aggregate>,
    pub(crate) aggregate_cast: Option<Cast>,
}

impl Output {
    /// Its name where it is shown.
    pub(crate) fn label(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    fn plain(name: &str) -> Output {
        Output { name: name.to_owned(), alias: None, aggregate: None, aggregate_cast: None }
    }
}

/// What the parent of a relation to-one shows of it. The plan aggregates nothing any more.
pub(crate) fn of_one(plan: &mut ReadPlan) -> Vec<Output> {
    let mut outputs = Vec::new();
    for column in &mut plan.columns {
        let aggregate = column.aggregate.take();
        let aggregate_cast = column.aggregate_cast.take();
        let Some(aggregate) = aggregate else {
            outputs.push(Output::plain(column.name()));
            continue;
        };
        // two sums are two columns until they are summed
        let name = passing(outputs.len());
        let shown = column.alias.replace(name.clone());
        let alias = Some(shown.unwrap_or_else(|| aggregate.name().to_owned()));
        column.field.whole_row = column.field.column == "*";
        outputs.push(Output { name, alias, aggregate: Some(aggregate), aggregate_cast });
    }
    for embed in &mut plan.embeds {
        if !embed.spread && !embed.plan.is_empty() {
            outputs.push(Output::plain(&embed.label));
        }
        for output in &mut embed.outputs {
            let Some(aggregate) = output.aggregate.take() else {
                outputs.push(Output::plain(&output.name));
                continue;
            };
            let name = passing(outputs.len());
            let alias = output.alias.replace(name.clone());
            let aggregate_cast = output.aggregate_cast.take();
            outputs.push(Output { name, alias, aggregate: Some(aggregate), aggregate_cast });
        }
    }
    outputs
}

/// The name of a column on its way to where it is aggregated.
fn passing(number: usize) -> String {
    format!("pgrst_aggregated_{number}")
}

/// What the parent of a relation to-many shows of it: lists.
///
/// Errors: PGRST127 for an aggregate.
pub(crate) fn of_many(plan: &mut ReadPlan) -> Result<Vec<Output>> {
    let outputs = of_one(plan);
    if outputs.iter().any(|output| output.aggregate.is_some()) {
        return Err(NOT_IMPLEMENTED
            .error("Feature not implemented")
            .with_details("Aggregates are not implemented for one-to-many or many-to-many spreads."));
    }
    Ok(outputs)
}
