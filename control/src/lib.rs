//! The control plane: one place that says who is who, what is where, and what may be called how.
//!
//! - `store`: everything that must not be lost, in PostgreSQL; every replica of the control plane works on it
//! - [`resources`]: what people apply, as documents of a kind, and the mesh that they make together
//! - `authority`: the roots of the trust domain, join tokens, certificates
//! - `world`: all of that as this replica knows it, and `view`: the part that one identity gets
//! - `doors`: where workloads join, renew and listen; `stream`: one of them, from its first line to its end
//! - `leases`: who is alive; `admin`: what an operator asks over the UNIX socket
//!
//! It is never on the way of a request: while it is away, proxies go on with what they have.

mod admin;
mod authority;
pub mod bootstrap;
mod certificates;
mod config;
mod demand;
mod doors;
mod leases;
pub mod resources;
mod said;
mod status;
mod store;
mod stream;
mod taps;
mod view;
mod world;

use std::sync::Arc;

use base::gcra::Limiter;
use base::seal::MasterKey;
use base::serve::Listener;
use base::{Clock, Random, Result, Secret};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use config::Config;

use authority::Authority;
use bootstrap::Bootstrap;
use status::Proxies;
use store::Store;
use world::{World, Worlds};

/// One replica. Cheap to clone.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    config: Config,
    store: Store,
    authority: Authority,
    worlds: Worlds,
    proxies: Proxies,
    taps: taps::Taps,
    clock: Clock,
    replica: Uuid,
    ended: CancellationToken,
    tasks: TaskTracker,
    ready: watch::Sender<bool>,
    /// Told when the streams should look for a replica that is better off.
    astray: watch::Sender<()>,
    renewals: Limiter<String>,
}

/// What a replica listens on, bound.
pub struct Listeners {
    /// For workloads with a certificate.
    pub control: Listener,
    /// For those without.
    pub join: Listener,
    /// For the operator.
    pub admin: Listener,
    /// For autoscalers, and what they must show.
    pub demand: Option<(Listener, Option<Secret>)>,
}

impl Control {
    /// Opens the migrated store, makes the first root and the first revision if there are none, and follows the others.
    pub async fn open(
        config: Config,
        bootstrap: Option<&Bootstrap>,
        database: PgConnectOptions,
        master: MasterKey,
        clock: Clock,
        random: Random,
    ) -> Result<Control> {
        let store = Store::new(pool(database));
        store.begin(&resources::Resources::of(&mesh_of(&config))).await?;
        let authority =
            Authority::open(&config, bootstrap, store.clone(), master, clock.clone(), random.clone()).await?;
        let world = World::load(&store, &config.trust_domain).await?;
        let replica = random.uuid();
        let control = Control(Arc::new(Inner {
            config,
            store,
            authority,
            worlds: Worlds::new(world),
            proxies: Proxies::default(),
            taps: taps::Taps::default(),
            clock,
            replica,
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
            ready: watch::Sender::new(true),
            astray: watch::Sender::new(()),
            renewals: Limiter::new(doors::RENEWALS, doors::MAX_TOLD_APART),
        }));
        control.spawn(world::follow(control.clone()));
        control.spawn(leases::keep(control.clone()));
        control.spawn(authority::turn(control.clone()));
        Ok(control)
    }

    /// Serves until `stop`.
    pub async fn serve(&self, listeners: Listeners, stop: CancellationToken) {
        let Listeners { control, join, admin, demand } = listeners;
        let asked = async {
            if let Some((listener, token)) = demand {
                let router = demand::router(self.clone(), token);
                base::serve::serve(listener, router, stop.clone(), doors::GRACE).await;
            }
        };
        tokio::join!(
            doors::serve_control(self.clone(), control, stop.clone()),
            doors::serve_join(self.clone(), join, stop.clone()),
            base::serve::serve(admin, admin::router(self.clone()), stop.clone(), doors::GRACE),
            asked,
            async {
                // the sooner streams end, the sooner proxies are with another replica
                stop.cancelled().await;
                self.0.ended.cancel();
            },
        );
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Whether the store answers.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.0.ended.clone();
        self.0.tasks.spawn(async move {
            tokio::select! { () = ended.cancelled() => {}, () = task => {} }
        });
    }
}

/// The mesh of an installation that nobody configured, in this trust domain.
fn mesh_of(config: &Config) -> mesh::resource::Mesh {
    mesh::resource::Mesh { trust_domain: config.trust_domain.clone(), ..mesh::resource::Mesh::defaults() }
}

fn pool(database: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .min_connections(0)
        .acquire_timeout(std::time::Duration::from_secs(3))
        .connect_lazy_with(database)
}
