//! Many proxies in one process, for `bench/control`: each with its own stream, identity and memory of what was pushed, and
//! without a data plane. Number `n` is an instance of the service `svc-<n mod services>`.
//!
//! usage: proxies COUNT SERVICES CONTROL JOIN TOKENS STATE
//!
//! The first instance of each service joins with its token; the others begin with a copy of its certificate, since one
//! machine may not join a thousand times a minute. It prints a line when all have what they should have, and ends with
//! its standard input.

use std::path::{Path, PathBuf};

use base::error::OrInternal;
use base::{Clock, Random, Result};
use futures_util::StreamExt;
use futures_util::stream::iter;
use mesh::observe::Observer;
use mesh::resource::{Control, Sidecar, Workload};
use mesh::steer::{Agents, Bootstrap};

/// Proxies that begin at once.
const AT_ONCE: usize = 20;

struct Setting {
    count: usize,
    services: usize,
    control: String,
    join: String,
    tokens: PathBuf,
    state: PathBuf,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, services, control, join, tokens, state] = arguments.try_into().expect("six arguments");
    let setting = Setting {
        count: count.parse().or_internal()?,
        services: services.parse().or_internal()?,
        control,
        join,
        tokens: tokens.into(),
        state: state.into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.or_internal()?.block_on(run(&setting))
}

async fn run(setting: &Setting) -> Result<()> {
    let first = setting.count.min(setting.services);
    let mut proxies = begin(setting, 0..first).await?;
    for number in first..setting.count {
        copy(
            &setting.state.join((number % setting.services).to_string()),
            &setting.state.join(number.to_string()),
        )?;
    }
    proxies.extend(begin(setting, first..setting.count).await?);
    println!("{}", proxies.len());
    let ended = || std::io::read_to_string(std::io::stdin());
    let _ = tokio::task::spawn_blocking(ended).await;
    Ok(())
}

async fn begin(setting: &Setting, numbers: std::ops::Range<usize>) -> Result<Vec<Agents>> {
    let started = iter(numbers).map(|number| start(setting, number)).buffer_unordered(AT_ONCE);
    started.collect::<Vec<_>>().await.into_iter().collect()
}

async fn start(setting: &Setting, number: usize) -> Result<Agents> {
    let service = format!("svc-{}", number % setting.services);
    let control = Control {
        addresses: vec![setting.control.clone()],
        join: vec![setting.join.clone()],
        state: setting.state.join(number.to_string()),
        advertise: None,
    };
    let token = Some(setting.tokens.join(&service));
    let workloads = vec![Workload { service, token, ..Workload::default() }];
    let sidecar = Sidecar { workloads, control: Some(control), ..Sidecar::default() };
    let (clock, random) = (Clock::system(), Random::system());
    Agents::start(Bootstrap { sidecar, clock, random, observer: Observer::none() }).await
}

/// The identity of one as another's; what was pushed is to be pushed to each.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for service in std::fs::read_dir(from).or_internal()? {
        let service = service.or_internal()?.path();
        let folder = to.join(service.file_name().unwrap_or_default());
        std::fs::create_dir_all(&folder).or_internal()?;
        for name in ["identity.pem", "roots.pem"] {
            std::fs::copy(service.join(name), folder.join(name)).or_internal()?;
        }
    }
    Ok(())
}
