//! `meshbase up`: starts, prints where everything is, and serves until told to stop.

use std::io::Write;

use base::Result;
use base::error::OrInternal;

use crate::roles::stop_signal;
use crate::up::{Config, Up};

pub(super) async fn run(config: Config) -> Result<()> {
    let json = config.json;
    let stop = stop_signal();
    // told to stop meanwhile: a start is finished and then undone in order
    let up = Up::start(config).await?;
    if stop.is_cancelled() {
        up.stop().await;
        return Ok(());
    }
    let text = if json { serde_json::to_string(&up.info).or_internal()? + "\n" } else { up.info.table() };
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).or_internal()?;
    stop.cancelled().await;
    tracing::info!("stopping");
    up.stop().await;
    Ok(())
}
