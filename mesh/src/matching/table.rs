//! Many matchers, of which the first one in their order decides.

use std::collections::BTreeMap;

use super::{Head, Matcher};
use crate::resource::Match;

/// Matchers in their order, found by what a path begins with.
///
/// Each matcher knows a text that its paths begin with: a whole path, a prefix, or what stands before a template's
/// first placeholder. These texts are kept sorted, each with the longest other one that it begins with. The last
/// text that is not greater than a path, and the chain from there, hold every text that the path begins with. So a
/// look-up costs one binary search and as many steps as prefixes are nested, however many routes there are.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable {
    matchers: Box<[Matcher]>,
    nodes: Box<[Node]>,
}

/// Everything for paths with one beginning.
#[derive(Clone, Debug)]
struct Node {
    beginning: Box<str>,
    /// The node with the longest beginning that this one begins with.
    shorter: Option<usize>,
    /// The matchers, in their order.
    entries: Vec<usize>,
}

impl RouteTable {
    /// Compiles matches in their order.
    pub(crate) fn compile<'a>(matches: impl IntoIterator<Item = &'a Match>) -> RouteTable {
        let matchers: Box<[Matcher]> = matches.into_iter().map(Matcher::compile).collect();
        let mut sorted: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, matcher) in matchers.iter().enumerate() {
            sorted.entry(matcher.beginning()).or_default().push(index);
        }
        let mut nodes: Vec<Node> = Vec::with_capacity(sorted.len());
        for (beginning, entries) in sorted {
            let above = nodes.len().checked_sub(1);
            let shorter = chain(&nodes, above).find(|&node| beginning.starts_with(&*nodes[node].beginning));
            nodes.push(Node { beginning: beginning.into(), shorter, entries });
        }
        RouteTable { nodes: nodes.into(), matchers }
    }

    /// The first one, in the order in which they were given, that means the request.
    pub(crate) fn find(&self, head: &Head<'_>) -> Option<usize> {
        let above = self.nodes.partition_point(|node| &*node.beginning <= head.path).checked_sub(1);
        let mut first = None;
        for node in chain(&self.nodes, above).map(|node| &self.nodes[node]) {
            if head.path.starts_with(&*node.beginning) {
                let before = |entry: &usize| first.is_none_or(|first| *entry < first);
                let mut entries = node.entries.iter().copied().take_while(before);
                first = entries.find(|&entry| self.matchers[entry].matches(head)).or(first);
            }
        }
        first
    }

    /// Whether any of them means the request.
    pub(crate) fn matches(&self, head: &Head<'_>) -> bool {
        self.find(head).is_some()
    }
}

/// A node and those with shorter and shorter beginnings of its own.
fn chain(nodes: &[Node], from: Option<usize>) -> impl Iterator<Item = usize> {
    std::iter::successors(from, |&node| nodes[node].shorter)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::resource::Template;

    fn find(table: &RouteTable, path: &str, method: &Method) -> Option<usize> {
        table.find(&Head { host: "", method, path, query: None, headers: &HeaderMap::new() })
    }

    fn prefix(text: &str) -> Match {
        Match { prefix: Some(text.to_owned()), ..Match::default() }
    }

    #[test]
    fn the_order_decides_and_not_the_length() {
        let table = RouteTable::compile(&[prefix("/a/"), prefix("/a/b/"), Match::default(), prefix("/c")]);

        assert_eq!(find(&table, "/a/b/c", &Method::GET), Some(0));
        assert_eq!(find(&table, "/b", &Method::GET), Some(2));
        assert_eq!(find(&table, "/c", &Method::GET), Some(2));
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(find(&RouteTable::compile(&[]), "/", &Method::GET), None);
    }

    #[test]
    fn the_services_own_routes_are_found() {
        let mesh: crate::resource::Mesh =
            serde_saphyr::from_str(include_str!("../../defaults.yaml")).unwrap();
        let routes = &mesh.services["storage"].routes;
        let table = RouteTable::compile(routes.iter().map(|route| &route.matches));
        let name = |path| routes[find(&table, path, &Method::GET).unwrap()].name.as_str();

        assert_eq!(name("/object/list/a"), "/object/list/*");
        assert_eq!(name("/object/a/b"), "/object/*");
        assert_eq!(name("/bucket"), "*");
    }

    #[test]
    fn many_routes_cost_no_scan() {
        let routes: Vec<Match> = (0..5000).map(|n| prefix(&format!("/route{n:04}"))).collect();
        let table = RouteTable::compile(&routes);

        let steps = |path: &str| {
            let above = table.nodes.partition_point(|node| &*node.beginning <= path).checked_sub(1);
            chain(&table.nodes, above).count()
        };

        assert_eq!(find(&table, "/route4321/x", &Method::GET), Some(4321));
        assert_eq!(find(&table, "/other", &Method::GET), None);
        assert!(steps("/route4321/x") <= 2 && steps("/zzz") <= 2);
    }

    fn path() -> impl Strategy<Value = String> {
        "(/[ab]{0,2}){1,4}"
    }

    fn any_match() -> impl Strategy<Value = Match> {
        let template = "(/([ab]|\\{x\\})){1,3}(/\\{\\*rest\\})?";
        let methods = prop_oneof![3 => Just(vec![]), 1 => Just(vec![Method::POST])];
        let form = prop_oneof![
            Just(Match::default()),
            "/?[ab/]{0,4}".prop_map(|text| prefix(&text)),
            path().prop_map(|text| Match { exact: Some(text), ..Match::default() }),
            template.prop_map(|text| Match { template: Template::parse(&text).ok(), ..Match::default() }),
        ];
        (form, methods).prop_map(|(form, methods)| Match { methods, ..form })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn the_table_finds_what_a_scan_finds(
            routes in prop::collection::vec(any_match(), 0..24),
            paths in prop::collection::vec(path(), 1..12),
        ) {
            let table = RouteTable::compile(&routes);
            let matchers: Vec<Matcher> = routes.iter().map(Matcher::compile).collect();
            let headers = HeaderMap::new();
            for path in &paths {
                for method in [&Method::GET, &Method::POST] {
                    let head = Head { host: "", method, path, query: None, headers: &headers };
                    let scanned = matchers.iter().position(|matcher| matcher.matches(&head));
                    prop_assert_eq!(table.find(&head), scanned, "{}", path);
                }
            }
        }

        #[test]
        fn merging_slashes_never_leads_out_of_what_is_meant(route in any_match(), path in path()) {
            let literal = route.exact.iter().chain(&route.prefix);
            prop_assume!(!literal.into_iter().any(|text| text.contains("//")));
            let mut merged = path.clone();
            while merged.contains("//") {
                merged = merged.replace("//", "/");
            }
            let matcher = Matcher::compile(&route);
            let headers = HeaderMap::new();
            let meant = |path: &str| {
                let head = Head { host: "", method: &Method::POST, path, query: None, headers: &headers };
                matcher.matches(&head)
            };

            prop_assert!(!meant(&path) || meant(&merged), "{} and {}", path, merged);
        }
    }
}
