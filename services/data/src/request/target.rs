//! What a request is about, from its path, and what is to be done, from its method.

use base::Result;
use http::Method;
use percent_encoding::percent_decode_str;

use crate::error::QUERY;
use crate::error::envelope::{no_such_function_method, no_such_method, no_such_path};

/// A resource and an action on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    pub(crate) action: Action,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `/`: the description of the schema.
    Root,
    /// `/{name}`: a table or view.
    Relation(String),
    /// `/rpc/{name}`: a function.
    Function(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Rows of a relation.
    Read { head: bool },
    /// New rows.
    Create,
    /// New values for existing rows.
    Update,
    /// One row by its primary key, new or not.
    Upsert,
    /// Rows away.
    Delete,
    /// A function's result, with the arguments in the query string.
    CallRead { head: bool },
    /// A function's result, with the arguments in the body.
    Call,
    /// The description of the schema.
    Inspect { head: bool },
    /// Which methods there are.
    Describe,
}

impl Target {
    /// The target of a request.
    ///
    /// Errors: PGRST125 for a path that is none, PGRST101 and PGRST117 for methods that the resource lacks.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Target> {
        let resource = Resource::of(path)?;
        let action = resource.action(method)?;
        Ok(Target { resource, action })
    }

    /// The same; a function that answers at the root stands in its place.
    pub(crate) fn at_root(self, function: Option<&str>) -> Target {
        match (function, self.action) {
            (Some(function), Action::Inspect { head }) => Target {
                resource: Resource::Function(function.to_owned()),
                action: Action::CallRead { head },
            },
            _ => self,
        }
    }
}

impl Resource {
    fn of(path: &str) -> Result<Resource> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments.as_slice() {
            [""] => Ok(Resource::Root),
            [name] => Ok(Resource::Relation(decoded(name)?)),
            ["rpc", name] if !name.is_empty() => Ok(Resource::Function(decoded(name)?)),
            _ => Err(no_such_path()),
        }
    }

    fn action(&self, method: &Method) -> Result<Action> {
        let head = method == Method::HEAD;
        match (self, method) {
            (_, &Method::OPTIONS) => Ok(Action::Describe),
            (Resource::Root, &Method::GET | &Method::HEAD) => Ok(Action::Inspect { head }),
            (Resource::Relation(_), &Method::GET | &Method::HEAD) => Ok(Action::Read { head }),
            (Resource::Relation(_), &Method::POST) => Ok(Action::Create),
            (Resource::Relation(_), &Method::PATCH) => Ok(Action::Update),
            (Resource::Relation(_), &Method::PUT) => Ok(Action::Upsert),
            (Resource::Relation(_), &Method::DELETE) => Ok(Action::Delete),
            (Resource::Function(_), &Method::GET | &Method::HEAD) => Ok(Action::CallRead { head }),
            (Resource::Function(_), &Method::POST) => Ok(Action::Call),
            (Resource::Function(_), _) => Err(no_such_function_method(method)),
            _ => Err(no_such_method(method)),
        }
    }
}

/// A path segment's text.
///
/// Errors: PGRST100 for bytes that are not UTF-8 and for NUL, which no name in PostgreSQL can hold.
fn decoded(segment: &str) -> Result<String> {
    let text = percent_decode_str(segment).decode_utf8();
    match text {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(QUERY.error("the path is not UTF-8 text")),
    }
}

impl Action {
    /// Whether query parameters without an operator are a function's arguments.
    pub(crate) fn takes_arguments(self) -> bool {
        matches!(self, Action::CallRead { .. })
    }

    /// Whether it writes to a relation.
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Action::Create | Action::Update | Action::Upsert | Action::Delete)
    }

    /// Whether it calls a function.
    pub(crate) fn is_call(self) -> bool {
        matches!(self, Action::CallRead { .. } | Action::Call)
    }

    /// Whether it asks what can be asked.
    pub(crate) fn is_describe(self) -> bool {
        matches!(self, Action::Describe | Action::Inspect { .. })
    }

    /// Whether the answer has no body.
    pub(crate) fn is_head(self) -> bool {
        matches!(
            self,
            Action::Read { head: true } | Action::CallRead { head: true } | Action::Inspect { head: true }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, path: &str) -> Result<Target> {
        Target::of(&method, path)
    }

    #[test]
    fn paths_name_the_root_relations_and_functions() {
        assert_eq!(target(Method::GET, "/").unwrap().resource, Resource::Root);
        assert_eq!(target(Method::GET, "/todos").unwrap().resource, Resource::Relation("todos".to_owned()));
        assert_eq!(target(Method::GET, "/rpc").unwrap().resource, Resource::Relation("rpc".to_owned()));
        assert_eq!(target(Method::POST, "/rpc/add").unwrap().resource, Resource::Function("add".to_owned()));
        assert_eq!(
            target(Method::GET, "/%D9%85%D9%88%D8%A7%D8%B1%D8%AF").unwrap().resource,
            Resource::Relation("موارد".to_owned())
        );
    }

    #[test]
    fn other_paths_do_not_exist() {
        for path in ["/a/b", "/todos/", "/rpc/", "/rpc/a/b"] {
            assert_eq!(target(Method::GET, path).unwrap_err().code.name(), "PGRST125", "{path}");
        }
    }

    #[test]
    fn a_name_that_is_not_text_is_bad_input() {
        for path in ["/%ff", "/a%00b", "/rpc/%c3%28"] {
            assert_eq!(target(Method::GET, path).unwrap_err().status(), 400, "{path}");
        }
    }

    #[test]
    fn methods_depend_on_the_resource() {
        assert_eq!(target(Method::PUT, "/todos").unwrap().action, Action::Upsert);
        assert_eq!(target(Method::PATCH, "/rpc/add").unwrap_err().code.name(), "PGRST101");
        assert_eq!(target(Method::POST, "/").unwrap_err().code.name(), "PGRST117");
        assert_eq!(target(Method::TRACE, "/todos").unwrap_err().code.name(), "PGRST117");
    }
}
