//! The project `default`, which is there from the first start.

use base::error::BAD_REQUEST;
use base::{Result, Secret};
use common::project::{Endpoint, ProjectRef};
use platform::Platform;
use platform::models::project::NewProject;
use platform::provision::{Login, Placement};

/// Makes the project if it is not there, with its database at `placement` – at `url` if that is outside –, and wakes it.
///
/// Errors: it was made with another kind of database.
pub(crate) async fn ensure(
    platform: &Platform,
    placement: Placement,
    url: Option<&Secret>,
    jwt_secret: Option<&Secret>,
) -> Result<()> {
    let reference = ProjectRef::default_project();
    match platform.find(&reference).await? {
        None => {
            let (name, jwt_secret) = (reference.to_string(), jwt_secret.cloned());
            platform.create(NewProject { reference: reference.clone(), name, placement, jwt_secret }).await?;
        }
        Some(project) if project.placement != placement => {
            return Err(BAD_REQUEST
                .error("this installation was started with a different kind of database")
                .with_hint("give --database-url as before, or choose another --data-dir"));
        }
        Some(_) => {}
    }
    if let Some(url) = url {
        let endpoint = Endpoint::parse(url)?;
        let services = ["auth", "data", "storage", "owner", "admin"];
        let logins = services.map(|service| Login { service, endpoint: endpoint.clone() });
        platform.set_logins(&reference, &logins).await?;
    }
    platform.wake(&reference).await?;
    match jwt_secret {
        Some(secret) => platform.set_shared_secret(&reference, secret).await,
        None => Ok(()),
    }
}
