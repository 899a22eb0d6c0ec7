//! Discovery from a list that stands in the configuration.

use super::Found;
use crate::resource::StaticEndpoint;

/// The endpoints in `list`, without those whose weight is 0: they are to have no share. The error names the address that
/// is none.
pub(crate) fn fixed(list: &[StaticEndpoint]) -> Result<Vec<Found>, String> {
    list.iter().filter(|endpoint| endpoint.weight > 0).map(found).collect()
}

fn found(endpoint: &StaticEndpoint) -> Result<Found, String> {
    Ok(Found {
        address: endpoint.address.parse()?,
        zone: endpoint.zone.as_deref().map(Into::into),
        weight: endpoint.weight,
        priority: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, weight: u32) -> StaticEndpoint {
        StaticEndpoint { address: address.to_owned(), zone: Some("a".to_owned()), weight }
    }

    #[test]
    fn a_list_is_told_as_it_is_written() {
        let found = fixed(&[endpoint("10.0.0.1:80", 3), endpoint("unix:/run/x", 1)]).unwrap();

        assert_eq!(
            found.iter().map(|f| f.address.to_string()).collect::<Vec<_>>(),
            ["10.0.0.1:80", "unix:/run/x"]
        );
        assert_eq!((found[0].zone.as_deref(), found[0].weight), (Some("a"), 3));
    }

    #[test]
    fn who_is_to_have_no_share_is_not_there() {
        let found = fixed(&[endpoint("10.0.0.1:80", 0), endpoint("10.0.0.2:80", 1)]).unwrap();

        assert_eq!(found.len(), 1);
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let error = fixed(&[endpoint("10.0.0.1:80", 1), endpoint("nowhere", 1)]).unwrap_err();

        assert!(error.contains("nowhere"), "{error}");
    }
}
