//! Discovery from a list that does not change.

use futures_util::future;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::{Found, Resolve};
use crate::resource::StaticEndpoint;

/// A list of endpoints, told once.
#[derive(Clone, Debug)]
pub struct Fixed(Vec<Found>);

impl Fixed {
    /// The endpoints in `list`. The error names the address that is none.
    pub fn parse(list: &[StaticEndpoint]) -> Result<Fixed, String> {
        list.iter().map(found).collect::<Result<_, _>>().map(Fixed)
    }

    /// The endpoints.
    pub(crate) fn into_found(self) -> Vec<Found> {
        self.0
    }

    /// These endpoints.
    pub fn new(list: Vec<Found>) -> Fixed {
        Fixed(list)
    }
}

fn found(endpoint: &StaticEndpoint) -> Result<Found, String> {
    Ok(Found {
        address: endpoint.address.parse()?,
        zone: endpoint.zone.as_deref().map(Into::into),
        weight: endpoint.weight,
        priority: 0,
    })
}

impl Resolve for Fixed {
    fn watch(&self, _service: &str) -> BoxStream<'static, Result<Vec<Found>, String>> {
        stream::once(future::ready(Ok(self.0.clone()))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str) -> StaticEndpoint {
        StaticEndpoint { address: address.to_owned(), zone: Some("a".to_owned()), weight: 3 }
    }

    #[tokio::test]
    async fn a_list_is_told_once() {
        let fixed = Fixed::parse(&[endpoint("127.0.0.1:1")]).unwrap();

        let told: Vec<_> = fixed.watch("data").collect().await;

        let [Ok(set)] = told.as_slice() else { panic!("one set: {told:?}") };
        assert_eq!(set.len(), 1);
        assert_eq!((set[0].zone.as_deref(), set[0].weight, set[0].priority), (Some("a"), 3, 0));
    }

    #[test]
    fn the_address_that_is_none_is_named() {
        let error = Fixed::parse(&[endpoint("127.0.0.1:1"), endpoint("example.com:1")]).unwrap_err();

        assert!(error.contains("example.com:1"), "{error}");
    }
}
