//! Which settings a request's transaction runs under, and in which order they are set.

use bytes::Bytes;
use common::Caller;
use common::claims::session_settings;
use http::request::Parts;

use super::check;
use super::{Export, Frame, Step};
use crate::plan::{BodyFormat, Operation, Plan};
use crate::render::{Sql, count_estimate, export, main, session, visible};
use crate::request::ApiRequest;
use crate::request::preferences::Count;
use crate::schema::role::{ISOLATION_SETTING, Isolation};
use crate::schema::{Function, SchemaCache};
use crate::settings::Settings;

/// What a step is for: the request, its caller, and the project as it is.
#[derive(Clone, Copy)]
pub(crate) struct Session<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) caller: &'a Caller,
    pub(crate) request: &'a ApiRequest,
    pub(crate) schema: &'a SchemaCache,
    pub(crate) settings: &'a Settings,
}

impl Session<'_> {
    /// How the transaction of a planned request alone begins and ends.
    pub(crate) fn frame(self, plan: &Plan) -> Frame {
        Frame {
            begin: session::begin(self.isolation(plan.function()), plan.read_only),
            rolls_back: self.settings.rolls_back(self.request.preferences.transaction),
        }
    }

    /// What a planned request does.
    pub(crate) fn step(self, plan: &Plan) -> Step {
        self.step_of(plan, main(plan, self.request, self.settings))
    }

    /// The same with a statement that was rendered before.
    pub(crate) fn step_of(self, plan: &Plan, main: Sql) -> Step {
        let Session { request, settings, .. } = self;
        let explains = plan.format.media_type.explain().is_some();
        let estimates = !explains
            && matches!(request.preferences.count, Some(Count::Planned | Count::Estimated))
            && matches!(plan.operation, Operation::Read(_));
        Step {
            estimate: estimates.then(|| (count_estimate(plan), settings.max_rows)),
            explains,
            checks: if explains { Vec::new() } else { check::of(request, plan) },
            read_only: plan.read_only,
            ..self.inspection(plan.function(), main)
        }
    }

    /// Whether nothing must hold of the rows before they are sent, nor be counted by another call of a function.
    pub(crate) fn checks_nothing(self, plan: &Plan) -> bool {
        let counts_calls = self.request.preferences.counts() && plan.function().is_some();
        check::of(self.request, plan).is_empty() && !counts_calls
    }

    /// What a planned read does whose lines are sent as they come.
    pub(crate) fn export(self, plan: &Plan) -> Export {
        let most =
            self.settings.max_rows.filter(|_| self.request.preferences.count == Some(Count::Estimated));
        Export {
            step: self.step_of(plan, export::export(plan)),
            total: self.request.preferences.counts().then(|| export::count(plan, most)),
            is_csv: plan.format.body == BodyFormat::Csv,
            range: (plan.read.range.offset(), plan.read.range.limit()),
        }
    }

    /// How a transaction begins that only looks.
    pub(crate) fn looking(self) -> Frame {
        Frame { begin: session::begin(self.isolation(None), true), rolls_back: false }
    }

    /// Looks at what the caller may see of the schema.
    pub(crate) fn visibility(self) -> Step {
        self.inspection(None, visible(&self.request.schema))
    }

    fn inspection(self, function: Option<&Function>, main: Sql) -> Step {
        let role = &self.caller.role;
        Step {
            role: role.clone(),
            // whoever has no other role is asked to log in instead of refused
            authenticated: self.settings.anon_role.as_ref() != Some(role),
            generation: self.schema.generation,
            settings: session::settings(self.all(function)),
            pre_request: self.settings.pre_request.as_deref().map(session::pre_request),
            main,
            explains: false,
            estimate: None,
            checks: Vec::new(),
            read_only: true,
        }
    }

    /// Every setting, in order: the path first, what the role brings along before the role itself – whoever may
    /// set a thing may do so before taking a role that may not –, then the request, then what overrides.
    fn all(self, function: Option<&Function>) -> Vec<(Bytes, Bytes)> {
        let Session { parts, caller, request, schema, settings } = self;
        let path = std::iter::once(&request.schema).chain(&settings.extra_search_path).map(String::as_str);
        let owned = |(name, value): &(String, String)| (name.clone().into(), value.clone().into());
        let mut all: Vec<(Bytes, Bytes)> = vec![("search_path".into(), session::search_path(path).into())];
        if let Some(role) = schema.roles.get(&caller.role) {
            all.extend(role.settings.iter().map(owned));
        }
        let of_request = session_settings(caller, &parts.method, parts.uri.path(), &parts.headers);
        all.extend(of_request.into_iter().map(|(name, value)| (name.into(), value.into())));
        if let Some(timezone) = &request.preferences.timezone {
            all.push(("timezone".into(), timezone.clone().into()));
        }
        if let Some(function) = function {
            all.extend(self.hoisted(function).map(owned));
        }
        let of_project = settings.app_settings.iter();
        all.extend(
            of_project.map(|(name, value)| (format!("app.settings.{name}").into(), value.clone().into())),
        );
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
        of_function.unwrap_or_else(|| self.schema.isolation_of(&self.caller.role))
    }
}
