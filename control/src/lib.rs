//! The control plane: one place that steers every proxy.
//!
//! Its room, not built yet: the registry of endpoints, the certificate authority, the store of resources, and the push
//! to proxies. It will use `base` and the mesh's `resource` and `identity` types, and nothing will depend on it.
