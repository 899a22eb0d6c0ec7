//! Which response headers a project's own functions may set.

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};

/// Whether a function may set `name`: not what frames the message, and not what is ours alone, because the mesh
/// acts on it.
pub(crate) fn settable(name: &HeaderName) -> bool {
    let framing = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "te" | "trailer");
    !framing && !name.as_str().starts_with(base::header::PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_set_neither_framing_nor_our_own() {
        for name in ["content-length", "transfer-encoding", "connection", "x-meshbase-fault"] {
            assert!(!settable(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["set-cookie", "cache-control", "x-anything", "content-type"] {
            assert!(settable(&HeaderName::from_static(name)), "{name}");
        }
    }
}
