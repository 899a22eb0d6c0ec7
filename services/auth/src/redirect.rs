//! Where a link may lead: the project's site and what its owner listed, never elsewhere.
//!
//! Tokens travel in the target's fragment, so a target that slips through is a stolen session. Both sides are
//! compared in the form that browsers will see (WHATWG URL): `http://ours@evil`, `http:\\evil` and the like are
//! what they are before anything is matched. The attack table is in the tests.

use std::net::Ipv4Addr;

use url::{Host, Url};

/// Longest target that is looked at, in bytes.
const MAX_TARGET_BYTES: usize = 2048;

/// The target to use: `wanted` if it is allowed, otherwise, without a word, the site.
pub(crate) fn resolve(wanted: Option<&str>, site_url: &str, allowed: &[String]) -> String {
    wanted.and_then(|wanted| permitted(wanted, site_url, allowed)).unwrap_or_else(|| site_url.to_owned())
}

/// `wanted` as browsers will read it, if it may be used.
///
/// Allowed are the site's own scheme, host and port (on loopback any port), and whatever a listed glob matches.
/// Never: credentials in the URL, bare addresses beyond loopback, and schemes that run or read something.
fn permitted(wanted: &str, site_url: &str, allowed: &[String]) -> Option<String> {
    if wanted.len() > MAX_TARGET_BYTES {
        return None;
    }
    let target = Url::parse(wanted).ok()?;
    if matches!(target.scheme(), "javascript" | "data" | "vbscript" | "file" | "blob" | "about") {
        return None;
    }
    if !target.username().is_empty() || target.password().is_some() || has_far_address(&target) {
        return None;
    }
    let ours = Url::parse(site_url).is_ok_and(|site| is_same_site(&site, &target));
    (ours || allowed.iter().any(|pattern| matches_url(pattern, &target))).then(|| target.to_string())
}

fn is_same_site(site: &Url, target: &Url) -> bool {
    site.has_host()
        && site.scheme() == target.scheme()
        && site.host() == target.host()
        && (site.port_or_known_default() == target.port_or_known_default() || is_loopback(site))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Whether the host is an IP address, in any spelling, that is not loopback.
fn has_far_address(url: &Url) -> bool {
    let numeric = match url.host() {
        // schemes of apps keep the host as text: `app://2130706433`
        Some(Host::Domain(name)) => name.parse::<Ipv4Addr>().is_ok() || name.parse::<u32>().is_ok(),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    numeric && !is_loopback(url)
}

/// Whether a listed glob matches the whole URL, its fragment aside.
fn matches_url(pattern: &str, target: &Url) -> bool {
    let mut bare = target.clone();
    bare.set_fragment(None);
    let text = bare.as_str();
    // browsers write `http://host` as `http://host/`; people list either
    let without_root = (bare.path() == "/" && bare.query().is_none()).then(|| text.trim_end_matches('/'));
    let glob = Glob::parse(pattern);
    glob.matches(text) || without_root.is_some_and(|text| glob.matches(text))
}

/// A pattern with `.` and `/` as separators: `*` any run without one, `**` any run, `?` one character but a
/// separator, `[a-z]` and `[!a-z]` one character of a set, `\x` the character itself.
struct Glob(Vec<Piece>);

enum Piece {
    One(char),
    AnyOne,
    Set { negated: bool, ranges: Vec<(char, char)> },
    Run,
    RunOverSeparators,
}

impl Glob {
    fn parse(pattern: &str) -> Glob {
        let mut pieces = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            pieces.push(match c {
                '*' if rest.next_if_eq(&'*').is_some() => Piece::RunOverSeparators,
                '*' => Piece::Run,
                '?' => Piece::AnyOne,
                '[' => set(&mut rest),
                '\\' => Piece::One(rest.next().unwrap_or('\\')),
                other => Piece::One(other),
            });
        }
        Glob(pieces)
    }

    /// Follows all ways through the pattern at once: length of text × length of pattern, whatever either holds.
    fn matches(&self, text: &str) -> bool {
        let mut at = vec![false; self.0.len() + 1];
        at[0] = true;
        self.skip_runs(&mut at);
        for c in text.chars() {
            let mut next = vec![false; at.len()];
            for (index, piece) in self.0.iter().enumerate().filter(|(index, _)| at[*index]) {
                match piece {
                    Piece::Run if !is_separator(c) => next[index] = true,
                    Piece::RunOverSeparators => next[index] = true,
                    Piece::Run => {}
                    single => next[index + 1] |= single.takes(c),
                }
            }
            self.skip_runs(&mut next);
            at = next;
        }
        at[self.0.len()]
    }

    /// A run may be empty: whoever stands before one also stands behind it.
    fn skip_runs(&self, at: &mut [bool]) {
        for (index, piece) in self.0.iter().enumerate() {
            if matches!(piece, Piece::Run | Piece::RunOverSeparators) && at[index] {
                at[index + 1] = true;
            }
        }
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Piece::One(one) => *one == c,
            Piece::AnyOne => !is_separator(c),
            Piece::Set { negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
            Piece::Run | Piece::RunOverSeparators => false,
        }
    }
}

fn set(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Piece {
    let negated = rest.next_if_eq(&'!').is_some();
    let mut ranges = Vec::new();
    while let Some(from) = rest.next().filter(|c| *c != ']') {
        let to = match rest.next_if_eq(&'-') {
            Some(_) => rest.next_if(|c| *c != ']').unwrap_or(from),
            None => from,
        };
        ranges.push((from, to));
    }
    Piece::Set { negated, ranges }
}

fn is_separator(c: char) -> bool {
    matches!(c, '.' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_to(wanted: &str, site: &str, allowed: &[&str]) -> String {
        let allowed: Vec<String> = allowed.iter().map(|pattern| (*pattern).to_owned()).collect();
        resolve(Some(wanted), site, &allowed)
    }

    #[test]
    fn the_site_itself_is_allowed_and_on_loopback_at_any_port() {
        let site = "https://app.example.com";
        assert_eq!(
            goes_to("https://app.example.com/in?a=1#b", site, &[]),
            "https://app.example.com/in?a=1#b"
        );
        assert_eq!(goes_to("https://app.example.com:8443/", site, &[]), site);
        assert_eq!(goes_to("http://app.example.com/", site, &[]), site);
        assert_eq!(
            goes_to("http://localhost:5173/x", "http://localhost:3000", &[]),
            "http://localhost:5173/x"
        );
    }

    #[test]
    fn globs_stop_at_separators_unless_doubled() {
        let site = "https://app.example.com";
        for (pattern, url, allowed) in [
            ("https://*.example.com/in", "https://a.example.com/in", true),
            ("https://*.example.com/in", "https://a.b.example.com/in", false),
            ("https://*.example.com/**", "https://a.example.com/x/y?z=1", true),
            ("https://**.example.com/in", "https://a.b.example.com/in", true),
            ("https://example.com/?", "https://example.com/a", true),
            ("https://example.com/?", "https://example.com/", false),
            ("https://example.com/[a-c]", "https://example.com/b", true),
            ("https://example.com/[!a-c]", "https://example.com/b", false),
            ("http://localhost:5173", "http://localhost:5173", true),
            ("http://localhost:5173/", "http://localhost:5173", true),
            ("https://example.com/in", "https://example.com/in#fragment", true),
            ("com.example.app://callback", "com.example.app://callback", true),
            ("com.example.app://**", "com.example.app://callback/x", true),
        ] {
            let expected = if allowed { Url::parse(url).unwrap().to_string() } else { site.to_owned() };
            assert_eq!(goes_to(url, site, &[pattern]), expected, "{pattern} {url}");
        }
    }

    /// The attack table: each row would carry a session to somebody else.
    #[test]
    fn what_only_looks_like_ours_leads_to_the_site() {
        let site = "https://app.example.com";
        for wanted in [
            "https://evil.com",
            "//evil.com",
            "https://app.example.com.evil.com",
            "https://app.example.com@evil.com",
            "https://user:pw@app.example.com",
            r"https://evil.com\@app.example.com",
            r"https:\\evil.com\.app.example.com",
            "https://evil.com/.example.com/in",
            "https://evil.com?.example.com/in",
            "https://evil.com#.example.com/in",
            "https://evilexample.com/in",
            "javascript:alert(1)//app.example.com",
            "data:text/html,app.example.com",
            "file:///etc/passwd",
            "http://2130706433.evil.com",
            "http://16843009/",
            "http://1.1.1.1/",
            "http://[2606:4700::1111]/",
            "app://16843009",
            "not a url",
            "",
        ] {
            assert_eq!(goes_to(wanted, site, &["https://*.example.com/in"]), site, "{wanted}");
        }
    }

    #[test]
    fn addresses_beyond_loopback_need_a_name_even_when_listed() {
        let site = "https://app.example.com";
        assert_eq!(goes_to("http://1.1.1.1/", site, &["http://1.1.1.1/"]), site);
        assert_eq!(
            goes_to("http://127.0.0.1:3000/", site, &["http://127.0.0.1:3000"]),
            "http://127.0.0.1:3000/"
        );
    }

    #[test]
    fn matching_takes_no_exponential_time() {
        let pattern = "**a".repeat(60);
        let url = format!("https://example.com/{}", "a".repeat(1500));

        assert_eq!(goes_to(&format!("{url}b"), "https://site.example", &[&pattern]), "https://site.example");
    }
}
