//! Types of the field that are written as text.

pub(super) mod methods {
    //! Methods by their names.
    use http::Method;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::resource) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Method>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let parse = |name: String| name.parse().map_err(|_| D::Error::custom(format!("{name} is no method")));
        names.into_iter().map(parse).collect()
    }

    pub(in crate::resource) fn serialize<S: Serializer>(
        methods: &[Method],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(methods.iter().map(Method::as_str))
    }
}

pub(super) mod names {
    //! Header names.
    use http::HeaderName;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::resource) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<HeaderName>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let parse =
            |name: String| name.parse().map_err(|_| D::Error::custom(format!("{name:?} is no header name")));
        names.into_iter().map(parse).collect()
    }

    pub(in crate::resource) fn serialize<S: Serializer>(
        names: &[HeaderName],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(HeaderName::as_str))
    }
}

pub(super) mod pairs {
    //! Header names and values, written as a mapping.
    use std::collections::BTreeMap;

    use http::{HeaderName, HeaderValue};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::resource) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, D::Error> {
        let pairs = BTreeMap::<String, String>::deserialize(deserializer)?;
        let parse = |(name, value): (String, String)| {
            let parsed = name.parse().map_err(|_| D::Error::custom(format!("{name:?} is no header name")))?;
            let value = value
                .parse()
                .map_err(|_| D::Error::custom(format!("the value of {name} is not valid in a header")))?;
            Ok((parsed, value))
        };
        let mut pairs: Vec<(HeaderName, HeaderValue)> =
            pairs.into_iter().map(parse).collect::<Result<_, _>>()?;
        // by name in lower case, so that what is written again comes out the same
        pairs.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        match pairs.windows(2).find(|two| two[0].0 == two[1].0) {
            Some(twice) => Err(D::Error::custom(format!("the header {} is there twice", twice[0].0))),
            None => Ok(pairs),
        }
    }

    pub(in crate::resource) fn serialize<S: Serializer>(
        pairs: &[(HeaderName, HeaderValue)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        serializer.collect_map(pairs.iter().map(|(name, value)| (name.as_str(), text(value))))
    }
}
