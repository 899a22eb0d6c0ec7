//! Plan: from what a request asks for to what the database is to do, by the schema cache. Pure.

pub(crate) mod call;
pub(crate) mod condition;
pub(crate) mod embed;
pub(crate) mod field;
pub(crate) mod negotiate;
pub(crate) mod nested;
pub(crate) mod page;
pub(crate) mod read;
pub(crate) mod spread;
pub(crate) mod tree;
pub(crate) mod write;

use base::Result;

use crate::error::{CURSOR, MAX_AFFECTED_FUNCTION, NESTED, PREFERENCES, missing};
use crate::request::preferences::Return;
use crate::request::{Action, ApiRequest, Resource};
use crate::schema::{Function, Name, SchemaCache, Volatility};
use crate::settings::Settings;

pub(crate) use call::CallPlan;
pub(crate) use negotiate::{BodyFormat, Format, Offer};
pub(crate) use read::ReadPlan;
pub(crate) use write::WritePlan;

/// What the database is to do, and how the answer is to look.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) operation: Operation,
    /// The rows as the answer shows them: of the relation itself, of what was written, of what was returned.
    pub(crate) read: ReadPlan,
    /// How they are written.
    pub(crate) format: Format,
    /// Whether the transaction may write.
    pub(crate) read_only: bool,
}

/// What is done before rows are shown.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Nothing: the rows of a relation.
    Read(Name),
    /// A write to a relation.
    Write(WritePlan),
    /// A call of a function.
    Call(CallPlan),
}

/// Plans a request about a relation or a function.
///
/// Errors: PGRST105, PGRST107, PGRST108, PGRST118, PGRST122 to PGRST128, PGRST200 to PGRST205.
pub(crate) fn plan(request: &ApiRequest, cache: &SchemaCache, settings: &Settings) -> Result<Plan> {
    let plan = match &request.target.resource {
        Resource::Function(name) => call(request, &Name::new(&*request.schema, &**name), cache, settings)?,
        Resource::Relation(name) => {
            relation(request, &Name::new(&*request.schema, &**name), cache, settings)?
        }
        Resource::Root => return Err(missing::table(cache, &Name::new(&*request.schema, ""))),
    };
    refuse_unknown_preferences(request)?;
    refuse_passed_aliases(request, settings)?;
    Ok(plan)
}

fn relation(request: &ApiRequest, name: &Name, cache: &SchemaCache, settings: &Settings) -> Result<Plan> {
    let table = cache.tables.get(name).ok_or_else(|| missing::table(cache, name))?;
    let is_write = request.target.action.is_write();
    let read = if is_write {
        read::of_result(request, name, cache, settings)?
    } else {
        read::of_relation(request, name, cache, settings)?
    };
    let offer = Offer { handlers: &cache.handlers, target: name, plans: settings.plan_enabled };
    let format = offer.choose(request)?;
    refuse_cursor_if(request, is_write)?;
    if !is_write {
        let format = format.without_body_if(request.target.action.is_head());
        return Ok(Plan { operation: Operation::Read(name.clone()), read, format, read_only: true });
    }
    let write = write::plan(request, table, &read, cache)?;
    if format.media_type.explain().is_some() && write.is_nested() {
        return Err(NESTED.error("a relational insert is several statements, and has no one plan"));
    }
    let format = format.without_body_if(request.preferences.returns != Some(Return::Representation));
    Ok(Plan { operation: Operation::Write(write), read, format, read_only: false })
}

fn call(request: &ApiRequest, name: &Name, cache: &SchemaCache, settings: &Settings) -> Result<Plan> {
    refuse_cursor_if(request, true)?;
    let function = call::find(request, name, cache)?;
    let relation = function.row_relation();
    let read = read::of_result(request, &relation, cache, settings)?;
    let offer = Offer { handlers: &cache.handlers, target: &relation, plans: settings.plan_enabled };
    let format = offer.choose(request)?;
    let format = format.without_body_if(request.target.action.is_head() || function.returns_void());
    if request.preferences.enforced_maximum().is_some() && !function.returns.set {
        return Err(MAX_AFFECTED_FUNCTION.error(
            "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
        ));
    }
    let read_only = request.target.action != Action::Call || function.volatility != Volatility::Volatile;
    let call = call::plan(request, function, &read);
    Ok(Plan { operation: Operation::Call(call), read, format, read_only })
}

fn refuse_unknown_preferences(request: &ApiRequest) -> Result<()> {
    let preferences = &request.preferences;
    if preferences.unknown.is_empty() || !preferences.is_strict() {
        return Ok(());
    }
    Err(PREFERENCES
        .error("Invalid preferences given with handling=strict")
        .with_details(format!("Invalid preferences: {}", preferences.unknown.join(", "))))
}

fn refuse_cursor_if(request: &ApiRequest, is_no_read: bool) -> Result<()> {
    if is_no_read && request.query.cursor.is_some() {
        return Err(CURSOR.error("cursors are for reads of tables and views"));
    }
    Ok(())
}

fn refuse_passed_aliases(request: &ApiRequest, settings: &Settings) -> Result<()> {
    match request.query.passed_aliases().first() {
        Some((name, alias)) if !settings.legacy_target_names => Err(tree::passed_alias(name, alias)),
        _ => Ok(()),
    }
}

impl Plan {
    /// Whether rows are inserted with rows of other relations that belong to them.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(&self.operation, Operation::Write(write) if write.is_nested())
    }

    /// Whether its answer may be sent while it is still made: it cannot write, and has a line for each row.
    pub(crate) fn is_export(&self) -> bool {
        let has_rows = self.function().is_none_or(|function| function.returns.set);
        let has_lines = matches!(self.format.body, BodyFormat::Csv | BodyFormat::Lines);
        let is_whole = self.read.page.is_none();
        self.read_only && has_rows && has_lines && is_whole && self.format.media_type.explain().is_none()
    }

    /// The function that is called, if one is.
    pub(crate) fn function(&self) -> Option<&Function> {
        match &self.operation {
            Operation::Call(call) => Some(&call.function),
            Operation::Read(_) | Operation::Write(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
