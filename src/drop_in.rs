//! The data service in the place of PostgREST.

use std::path::Path;

use base::Result;
use base::error::{BAD_REQUEST, OrInternal};
use base::serve::{Listener, serve};
use common::service::Tasks;
use data::{DropIn, Lone, Place};

use crate::roles::{GRACE, stop_signal};
use crate::telemetry::Metrics;

/// Runs it until SIGTERM. With a folder, the schema cache is kept there.
pub(crate) async fn run(drop_in: DropIn, state_dir: Option<&Path>) -> Result<()> {
    let tasks = Tasks::default();
    let (metrics, stop) = (Metrics::default(), stop_signal());
    let recorder = metrics.recorder();
    let Lone { service, place, admin } =
        drop_in.start(recorder, tasks.clone(), state_dir, move || metrics.render())?;
    if let Some((router, place)) = admin {
        let listener = listener(&place).await?;
        if let Some(address) = listener.local_addr() {
            tracing::info!(%address, "telling of itself");
        }
        let stop = stop.clone();
        tasks.spawn(async move { serve(listener, router, stop, GRACE).await });
    }
    let listener = listener(&place).await?;
    if let Some(address) = listener.local_addr() {
        tracing::info!(%address, "serving");
    }
    serve(listener, service.router, stop, GRACE).await;
    tasks.stop().await;
    Ok(())
}

async fn listener(place: &Place) -> Result<Listener> {
    match place {
        Place::Unix(path) => Listener::unix(path).or_internal(),
        Place::Tcp(host, port) => {
            let mut found = tokio::net::lookup_host((host.as_str(), *port)).await.or_internal()?;
            let address = found.next().ok_or_else(|| BAD_REQUEST.error(format!("{host} has no address")))?;
            Listener::tcp(address).await.or_internal()
        }
    }
}
