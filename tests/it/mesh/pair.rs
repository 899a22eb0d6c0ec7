//! Two proxies in a row, mutual TLS between: a caller's, and that of a program on a UNIX socket.

use std::path::Path;

use common::Outbound;
use tokio_util::sync::CancellationToken;

use super::support::{Authority, Proxy, client};
use crate::support::process::folder;

/// Two proxies and what they need to live.
pub struct Pair {
    pub caller: Proxy,
    pub callee: Proxy,
    pub folder: tempfile::TempDir,
    stop: CancellationToken,
    _authority: Authority,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Pair {
    /// A pair before the service `name`, which both know by `spec`, in the words of the mesh file; `program` starts it
    /// on its socket.
    pub fn new(name: &str, spec: &str, program: impl FnOnce(&Path, CancellationToken)) -> Pair {
        let (folder, authority, stop) = (folder(), Authority::new(), CancellationToken::new());
        let socket = |name: &str| folder.path().join(name);
        program(&socket("program"), stop.clone());
        let callee = Proxy::start(&format!(
            "
trust_domain: test.local
services:
  {name}: {{callers: [caller], {spec}}}
  caller: {{}}
sidecar:
  inbound: 127.0.0.1:0
  {}
  workloads: [{{service: {name}, program: 'unix:{}', {}}}]
",
            authority.roots(),
            socket("program").display(),
            authority.identity(name),
        ));
        let caller = Proxy::start(&format!(
            "
trust_domain: test.local
services:
  {name}: {{discovery: {{static: [{{address: '{}'}}]}}, {spec}}}
  caller: {{}}
sidecar:
  {}
  workloads: [{{service: caller, outbound: [{{listen: 'unix:{}'}}], {}}}]
",
            callee.inbound(),
            authority.roots(),
            socket("out").display(),
            authority.identity("caller"),
        ));
        Pair { caller, callee, folder, stop, _authority: authority }
    }

    /// A client of the caller's proxy.
    pub fn calls(&self) -> Outbound {
        client(&self.folder.path().join("out"))
    }
}
