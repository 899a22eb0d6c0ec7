//! `Prefer` (RFC 7240): what the caller would like, and `Preference-Applied`: what it got.

use http::HeaderMap;

/// The preferences of a request. The first of a kind counts; several headers are one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    pub(crate) resolution: Option<Resolution>,
    pub(crate) returns: Option<Return>,
    pub(crate) count: Option<Count>,
    pub(crate) transaction: Option<TransactionPreference>,
    pub(crate) missing: Option<Missing>,
    pub(crate) handling: Option<Handling>,
    pub(crate) timezone: Option<String>,
    pub(crate) max_affected: Option<i64>,
    /// What was not understood.
    pub(crate) unknown: Vec<String>,
}

/// A kind of preference with a fixed set of values.
trait Known: Copy + 'static {
    /// Each value with its text.
    const VALUES: &'static [(&'static str, Self)];
}

macro_rules! known {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$value_doc])* $value,)+ }

        impl Known for $name {
            const VALUES: &'static [(&'static str, $name)] = &[$(($text, $name::$value),)+];
        }

        impl $name {
            /// As the headers write it.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $($name::$value => $text,)+ }
            }
        }
    };
}

known! {
    /// What becomes of rows that are already there.
    Resolution {
        Merge = "resolution=merge-duplicates",
        Ignore = "resolution=ignore-duplicates",
    }
}
known! {
    /// What is returned of written rows.
    Return {
        Representation = "return=representation",
        Minimal = "return=minimal",
        HeadersOnly = "return=headers-only",
    }
}
known! {
    /// How the total is found.
    Count {
        Exact = "count=exact",
        Planned = "count=planned",
        Estimated = "count=estimated",
    }
}
known! {
    /// How the transaction ends.
    TransactionPreference {
        Commit = "tx=commit",
        Rollback = "tx=rollback",
    }
}
known! {
    /// What stands for keys that a row lacks.
    Missing {
        Default = "missing=default",
        Null = "missing=null",
    }
}
known! {
    /// What becomes of preferences that are not understood.
    Handling {
        Strict = "handling=strict",
        Lenient = "handling=lenient",
    }
}

impl Preferences {
    /// Reads every `Prefer` header; `tx=` is understood but counts only if `may_end`.
    pub(crate) fn parse(headers: &HeaderMap, may_end: bool) -> Preferences {
        let values: Vec<String> = headers
            .get_all("prefer")
            .iter()
            .flat_map(|value| {
                String::from_utf8_lossy(value.as_bytes()).split(',').map(str::to_owned).collect::<Vec<_>>()
            })
            .map(|value| value.trim().to_owned())
            .collect();
        let value_of = |prefix: &str| values.iter().find_map(|value| value.strip_prefix(prefix));
        Preferences {
            resolution: first(&values),
            returns: first(&values),
            count: first(&values),
            transaction: first(&values).filter(|_| may_end),
            missing: first(&values),
            handling: first(&values),
            timezone: value_of("timezone=").map(str::to_owned),
            max_affected: value_of("max-affected=").and_then(|number| number.parse().ok()),
            unknown: values.iter().filter(|value| !is_known(value)).cloned().collect(),
        }
    }

    /// Whether what is not understood must be refused.
    pub(crate) fn is_strict(&self) -> bool {
        self.handling == Some(Handling::Strict)
    }

    /// Whether the rows themselves are returned.
    pub(crate) fn wants_representation(&self) -> bool {
        self.returns == Some(Return::Representation)
    }

    /// Whether the total is counted by a query of its own.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.count, Some(Count::Exact | Count::Estimated))
    }

    /// The largest number of rows that may be affected, if that is to be enforced.
    pub(crate) fn enforced_maximum(&self) -> Option<i64> {
        self.max_affected.filter(|_| self.is_strict())
    }

    /// The value of `Preference-Applied`, if any preference was applied.
    pub(crate) fn applied(&self) -> Option<String> {
        let applied: Vec<String> = [
            self.resolution.map(|value| value.as_str().to_owned()),
            self.missing.map(|value| value.as_str().to_owned()),
            self.returns.map(|value| value.as_str().to_owned()),
            self.count.map(|value| value.as_str().to_owned()),
            self.transaction.map(|value| value.as_str().to_owned()),
            self.handling.map(|value| value.as_str().to_owned()),
            self.timezone.as_ref().map(|timezone| format!("timezone={timezone}")),
            self.enforced_maximum().map(|number| format!("max-affected={number}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

fn first<T: Known>(values: &[String]) -> Option<T> {
    values.iter().find_map(|value| T::VALUES.iter().find(|(text, _)| text == value).map(|(_, known)| *known))
}

fn is_known(value: &str) -> bool {
    fn among<T: Known>(value: &str) -> bool {
        T::VALUES.iter().any(|(text, _)| *text == value)
    }
    among::<Resolution>(value)
        || among::<Return>(value)
        || among::<Count>(value)
        || among::<TransactionPreference>(value)
        || among::<Missing>(value)
        || among::<Handling>(value)
        || value.starts_with("timezone=")
        || value.starts_with("max-affected=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[&str]) -> Preferences {
        let headers = headers
            .iter()
            .map(|value| (http::HeaderName::from_static("prefer"), value.parse().unwrap()))
            .collect::<Vec<_>>();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        Preferences::parse(&map, true)
    }

    #[test]
    fn several_headers_are_one_list_and_the_first_counts() {
        let preferences = parse(&["return=minimal,  count=exact ", "return=representation", "anything"]);

        assert_eq!(preferences.returns, Some(Return::Minimal));
        assert_eq!(preferences.count, Some(Count::Exact));
        assert_eq!(preferences.unknown, ["anything"]);
    }

    #[test]
    fn applied_preferences_have_an_order() {
        let preferences =
            parse(&["max-affected=10, timezone=Europe/Berlin, handling=strict, tx=rollback, count=exact, \
             return=representation, missing=default, resolution=merge-duplicates"]);

        assert_eq!(
            preferences.applied().unwrap(),
            "resolution=merge-duplicates, missing=default, return=representation, count=exact, tx=rollback, \
             handling=strict, timezone=Europe/Berlin, max-affected=10"
        );
    }

    #[test]
    fn a_maximum_is_enforced_only_when_strict() {
        assert_eq!(parse(&["max-affected=3"]).enforced_maximum(), None);
        assert_eq!(parse(&["max-affected=3, handling=strict"]).enforced_maximum(), Some(3));
        assert_eq!(parse(&["max-affected=3"]).applied(), None);
        assert_eq!(parse(&["max-affected=x, handling=strict"]).max_affected, None);
    }

    #[test]
    fn the_end_of_a_transaction_may_be_fixed() {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("prefer"),
            http::HeaderValue::from_static("tx=rollback"),
        )]);

        let fixed = Preferences::parse(&headers, false);

        assert_eq!(fixed.transaction, None);
        assert!(fixed.unknown.is_empty());
    }
}
