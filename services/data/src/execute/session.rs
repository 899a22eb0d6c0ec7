//! Which settings a request's transaction runs under, and in which order they are set.

use common::Caller;
use common::claims::session_settings;
use http::request::Parts;

use super::Transaction;
use super::check;
use crate::plan::{Operation, Plan};
use crate::render::{Sql, count_estimate, main, session, visible};
use crate::request::ApiRequest;
use crate::request::preferences::{Count, TransactionPreference};
use crate::schema::role::{ISOLATION_SETTING, Isolation};
use crate::schema::{Function, SchemaCache};
use crate::settings::Settings;

/// What a transaction is for: the request, its caller, and the project as it is.
#[derive(Clone, Copy)]
pub(crate) struct Session<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) caller: &'a Caller,
    pub(crate) request: &'a ApiRequest,
    pub(crate) schema: &'a SchemaCache,
    pub(crate) settings: &'a Settings,
}

impl Session<'_> {
    /// The transaction of a planned request.
    pub(crate) fn transaction(self, plan: &Plan) -> Transaction {
        let Session { request, settings, .. } = self;
        let explains = plan.format.media_type.explain().is_some();
        let estimates = !explains
            && matches!(request.preferences.count, Some(Count::Planned | Count::Estimated))
            && matches!(plan.operation, Operation::Read(_));
        Transaction {
            begin: session::begin(self.isolation(plan.function()), plan.read_only),
            estimate: estimates.then(|| (count_estimate(plan), settings.max_rows)),
            explains,
            checks: if explains { Vec::new() } else { check::of(request, plan) },
            read_only: plan.read_only,
            rolls_back: self.rolls_back(),
            ..self.inspection(plan.function(), main(plan, request, settings))
        }
    }

    /// A transaction that only looks: what the caller may see of the schema.
    pub(crate) fn visibility(self) -> Transaction {
        self.inspection(None, visible(&self.request.schema))
    }

    fn inspection(self, function: Option<&Function>, main: Sql) -> Transaction {
        let role = &self.caller.role;
        Transaction {
            begin: session::begin(self.isolation(None), true),
            role: role.clone(),
            // whoever has no other role is asked to log in instead of refused
            authenticated: self.settings.anon_role.as_ref() != Some(role),
            generation: self.schema.generation,
            settings: session::settings(&self.all(function)),
            pre_request: self.settings.pre_request.as_deref().map(session::pre_request),
            main,
            explains: false,
            estimate: None,
            checks: Vec::new(),
            read_only: true,
            rolls_back: false,
        }
    }

    /// Every setting, in order: the path first, what the role brings along before the role itself – whoever may
    /// set a thing may do so before taking a role that may not –, then the request, then what overrides.
    fn all(self, function: Option<&Function>) -> Vec<(String, String)> {
        let Session { parts, caller, request, schema, settings } = self;
        let path = std::iter::once(&request.schema).chain(&settings.extra_search_path).map(String::as_str);
        let mut all = vec![("search_path".to_owned(), session::search_path(path))];
        if let Some(role) = schema.roles.get(&caller.role) {
            all.extend(role.settings.iter().cloned());
        }
        let of_request = session_settings(caller, &parts.method, parts.uri.path(), &parts.headers);
        all.extend(of_request.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if let Some(timezone) = &request.preferences.timezone {
            all.push(("timezone".to_owned(), timezone.clone()));
        }
        if let Some(function) = function {
            all.extend(self.hoisted(function).cloned());
        }
        let of_project = settings.app_settings.iter();
        all.extend(of_project.map(|(name, value)| (format!("app.settings.{name}"), value.clone())));
        all
    }

    /// A function's own settings that hold for its whole transaction.
    fn hoisted(self, function: &Function) -> impl Iterator<Item = &(String, String)> {
        function.settings.iter().filter(move |(name, _)| self.settings.hoisted_tx_settings.contains(name))
    }

    /// The function's level, else the role's, else PostgreSQL's default.
    fn isolation(self, function: Option<&Function>) -> Isolation {
        let of_function = function.and_then(|function| {
            let own = self.hoisted(function).find(|(name, _)| name == ISOLATION_SETTING);
            own.and_then(|(_, value)| Isolation::parse(value))
        });
        let of_role = self.schema.roles.get(&self.caller.role).and_then(|role| role.isolation);
        of_function.or(of_role).unwrap_or_default()
    }

    /// Whether the transaction ends without effect: as the request prefers, if it may, else as the project decides.
    fn rolls_back(self) -> bool {
        match self.request.preferences.transaction {
            Some(preferred) => preferred == TransactionPreference::Rollback,
            None => self.settings.tx_end.rolls_back(),
        }
    }
}
