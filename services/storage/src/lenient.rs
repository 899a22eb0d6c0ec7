//! Input as clients send it: the original coerces text to numbers, and the Python client relies on it.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use utoipa::ToSchema;

/// A whole number, or text that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = i64)]
pub(crate) struct Integer(pub(crate) i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Integer, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Integer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Integer, E> {
                Ok(Integer(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Integer, E> {
                i64::try_from(number).map(Integer).map_err(|_| E::custom("the number is too large"))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Integer, E> {
                let whole = number.fract() == 0.0 && number.abs() <= 9e15;
                if whole {
                    Ok(Integer(number as i64))
                } else {
                    Err(E::invalid_type(de::Unexpected::Float(number), &self))
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Integer, E> {
                text.parse().map(Integer).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Tells a field that is `null` from one that is left out.
pub(crate) fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Deserialize::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_counts_as_a_number_if_it_is_one() {
        let read = |json: &str| serde_json::from_str::<Integer>(json).ok().map(|integer| integer.0);

        assert_eq!(read("60"), Some(60));
        assert_eq!(read("60.0"), Some(60));
        assert_eq!(read("\"60\""), Some(60));
        for bad in ["\"\"", "\"6 0\"", "1.5", "1e300", "null", "true", "[]", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
