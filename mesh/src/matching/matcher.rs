//! A part of a service's requests, compiled for the request's path.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::host::{HostPattern, without_port};
use super::{Head, query};
use crate::resource::{Match, Template};

/// Which requests are meant. Everything that was said must hold.
///
/// A header or parameter that comes several times must have the right value every time: whoever reads the first one
/// and whoever reads the last one see the same. No allocation.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    host: Option<HostPattern>,
    prefix: Option<Box<str>>,
    exact: Option<Box<str>>,
    template: Option<Template>,
    methods: Box<[Method]>,
    /// `None` if it asks for a header that cannot be.
    headers: Option<Wanted<HeaderName, HeaderValue>>,
    query: Wanted<Box<str>, Box<str>>,
}

/// Names and their values; where there is none, any will do.
type Wanted<N, V> = Box<[(N, Option<V>)]>;

impl Matcher {
    /// Compiles what was written. One that asks for a header that cannot be matches nothing.
    pub(crate) fn compile(matches: &Match) -> Matcher {
        let header = |(name, value): (&String, &String)| {
            let value = if value == "*" { None } else { Some(value.parse().ok()?) };
            Some((name.parse().ok()?, value))
        };
        let parameter = |(name, value): (&String, &String)| {
            let value = Some(value.as_str()).filter(|value| *value != "*");
            (name.as_str().into(), value.map(Box::from))
        };
        Matcher {
            host: matches.host.as_deref().map(HostPattern::compile),
            prefix: matches.prefix.as_deref().map(Box::from),
            exact: matches.exact.as_deref().map(Box::from),
            template: matches.template.clone(),
            methods: matches.methods.clone().into(),
            headers: matches.headers.iter().map(header).collect(),
            query: matches.query.iter().map(parameter).collect(),
        }
    }

    /// Whether the request is meant.
    pub(crate) fn matches(&self, head: &Head<'_>) -> bool {
        self.path_matches(head.path)
            && (self.methods.is_empty() || self.methods.contains(head.method))
            && self.host.as_ref().is_none_or(|host| host.matches(without_port(head.host)))
            && self.headers.as_ref().is_some_and(|headers| {
                headers.iter().all(|(name, value)| header_matches(head.headers, name, value.as_ref()))
            })
            && self.query.iter().all(|(name, value)| query_matches(head.query, name, value.as_deref()))
    }

    fn path_matches(&self, path: &str) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| path.starts_with(&**prefix))
            && self.exact.as_ref().is_none_or(|exact| path == &**exact)
            && self.template.as_ref().is_none_or(|template| template.matches(path))
    }

    /// What every path that matches begins with.
    pub(super) fn beginning(&self) -> &str {
        let template = self.template.as_ref().map(Template::as_str);
        let literal = template.map(|text| text.find('{').map_or(text, |brace| &text[..brace]));
        let known = [self.exact.as_deref(), self.prefix.as_deref(), literal];
        known.into_iter().flatten().max_by_key(|known| known.len()).unwrap_or_default()
    }
}

fn header_matches(headers: &HeaderMap, name: &HeaderName, wanted: Option<&HeaderValue>) -> bool {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek().is_some() && wanted.is_none_or(|wanted| values.all(|value| value == wanted))
}

fn query_matches(query: Option<&str>, name: &str, wanted: Option<&str>) -> bool {
    let given = query::pairs(query.unwrap_or_default()).filter(|(given, _)| query::says(given, name));
    let mut values = given.map(|(_, value)| value).peekable();
    values.peek().is_some() && wanted.is_none_or(|wanted| values.all(|value| query::says(value, wanted)))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn matcher(yaml: &str) -> Matcher {
        Matcher::compile(&serde_saphyr::from_str(yaml).unwrap())
    }

    fn matches(matcher: &Matcher, uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        matcher.matches(&Head::of(&request, request.uri().path()))
    }

    #[test]
    fn what_says_nothing_means_everything() {
        let everything = matcher("{}");

        assert!(matches(&everything, "/", &[]));
        assert!(matches(&everything, "http://a.b:80/c?d=e", &[("f", "g")]));
    }

    #[test]
    fn paths_are_matched_by_prefix_whole_or_form() {
        let cases = [
            ("prefix: /a/", "/a/b", true),
            ("prefix: /a/", "/a", false),
            ("prefix: /a/", "/A/b", false),
            ("prefix: /a/", "//a/b", false),
            ("exact: /a", "/a", true),
            ("exact: /a", "/a/", false),
            ("exact: /a", "/a?b=c", true),
            ("exact: /a/b", "/a%2Fb", false),
            ("exact: /a/b", "/a//b", false),
            ("template: '/a/{id}'", "/a/b", true),
            ("template: '/a/{id}'", "/a/b/c", false),
            ("template: '/a/{id}'", "/a//c", false),
            ("template: '/a/{id}'", "/a/b%2Fc", true),
            ("template: '/a/{*rest}'", "/a/b/c", true),
        ];
        for (yaml, path, expected) in cases {
            assert_eq!(matches(&matcher(yaml), path, &[]), expected, "{yaml} for {path}");
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let all =
            matcher("{prefix: /a, methods: [GET], host: '*.b.c', headers: {X-One: '1'}, query: {q: '2'}}");
        let uri = "http://x.b.c:80/a?q=2";

        assert!(matches(&all, uri, &[("x-one", "1")]));
        assert!(!matches(&all, "http://x.b.c/b?q=2", &[("x-one", "1")]));
        assert!(!matches(&all, "http://b.c/a?q=2", &[("x-one", "1")]));
        assert!(!matches(&all, uri, &[]));
        assert!(!matches(&all, uri, &[("x-one", "2")]));
        assert!(!matches(&all, "http://x.b.c/a", &[("x-one", "1")]));
        assert!(!matches(&all, "http://x.b.c/a?q=3", &[("x-one", "1")]));
        assert!(!matches(&matcher("methods: [POST, PUT]"), uri, &[]));
    }

    #[test]
    fn a_star_means_any_value_but_a_value() {
        let any = matcher("{headers: {x-one: '*'}, query: {q: '*'}}");

        assert!(matches(&any, "/?q=", &[("x-one", "")]));
        assert!(matches(&any, "/?q", &[("x-one", "2")]));
        assert!(!matches(&any, "/?p", &[("x-one", "2")]));
        assert!(!matches(&any, "/?q", &[]));
    }

    #[test]
    fn what_comes_twice_must_be_right_twice() {
        let one = matcher("headers: {role: reader}");
        let two = matcher("query: {role: reader}");

        assert!(matches(&one, "/", &[("role", "reader"), ("role", "reader")]));
        assert!(!matches(&one, "/", &[("role", "reader"), ("role", "admin")]));
        assert!(!matches(&one, "/", &[("role", "admin"), ("role", "reader")]));
        assert!(matches(&two, "/?role=reader&r%6Fle=reader", &[]));
        assert!(!matches(&two, "/?role=reader&r%6Fle=admin", &[]));
        assert!(!matches(&two, "/?role=admin&role=reader", &[]));
    }

    #[test]
    fn a_header_that_cannot_be_matches_nothing() {
        let mut matches_none = Match::default();
        matches_none.headers.insert("no name".to_owned(), "*".to_owned());

        assert!(!matches(&Matcher::compile(&matches_none), "/", &[("no", "name")]));
    }
}
