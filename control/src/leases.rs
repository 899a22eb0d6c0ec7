//! Who is alive: the instances on this replica's streams are, as long as the streams are; nobody else's business is
//! ended while this replica itself has only just come back.

use std::time::Duration;

use mesh::steer::ALIVE_EVERY;
use tokio::time::Instant;

use crate::Control;
use crate::store::Registration;

/// How long the store may take to answer: a connection may be dead and not know it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Prolongs the leases of this replica's instances, takes off those that ran out, and reports. While the store is away
/// nothing happens: nobody is forgotten for that.
pub(crate) async fn keep(control: Control) {
    let lease = control.lease();
    let pause = ALIVE_EVERY.min(lease / 3);
    let (mut whole_since, mut prolonged_at, mut is_astray) = (Instant::now(), Instant::now(), false);
    loop {
        match within(PATIENCE, control.prolong()).await {
            Ok(()) => {
                (prolonged_at, is_astray) = (Instant::now(), false);
                if whole_since.elapsed() > lease {
                    control.expire().await;
                }
            }
            Err(error) => {
                whole_since = Instant::now();
                tracing::warn!(error = %base::error::chain(&error), "the leases cannot be prolonged");
            }
        }
        // the others, if they reach the store, will soon take off whom only this replica hears of
        if prolonged_at.elapsed() > lease / 2 && !std::mem::replace(&mut is_astray, true) {
            control.0.ready.send_replace(false);
            control.0.astray.send_replace(());
        }
        if let Err(error) = within(PATIENCE, control.report()).await {
            tracing::warn!(error = %base::error::chain(&error), "what proxies say cannot be reported");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Errors: that of `asked`, or that it took longer than `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = base::Result<T>>,
) -> base::Result<T> {
    let late = || base::Error::internal(format!("the store did not answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(late()))
}

impl Control {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.0.config.lease_seconds.max(1))
    }

    async fn prolong(&self) -> base::Result<()> {
        let proxies = self.0.proxies.all();
        let alive: Vec<_> = proxies.iter().filter(|proxy| proxy.presence.is_some()).collect();
        let services: Vec<String> = alive.iter().map(|proxy| proxy.service.clone()).collect();
        let instances: Vec<String> = alive.iter().map(|proxy| proxy.instance.clone()).collect();
        let lease = self.lease().as_secs_f64();
        let missing = self.0.store.prolong(&services, &instances, self.0.replica, lease).await?;
        // taken off by somebody who could not know: they are here
        for number in missing {
            let Some(proxy) = usize::try_from(number - 1).ok().and_then(|index| alive.get(index)) else {
                continue;
            };
            let (service, instance) = (proxy.service.clone(), proxy.instance.clone());
            // unless it left meanwhile
            if let Some(presence) = self.0.proxies.presence(&service, &instance) {
                self.0
                    .store
                    .register(&Registration { service, instance, presence }, self.0.replica, lease)
                    .await?;
            }
        }
        Ok(())
    }

    async fn report(&self) -> base::Result<()> {
        let (proxies, revision) = (self.0.proxies.all(), self.0.worlds.now().applied.revision);
        let status = serde_json::json!({ "proxies": proxies, "revision": revision });
        self.0.store.report(self.0.replica, &status).await
    }

    async fn expire(&self) {
        match within(PATIENCE, self.0.store.expire(self.lease().as_secs_f64())).await {
            Ok(gone) => gone.iter().for_each(|gone| tracing::warn!(gone, "nothing was heard of an endpoint")),
            Err(error) => tracing::warn!(error = %base::error::chain(&error), "leases cannot be looked at"),
        }
    }
}
