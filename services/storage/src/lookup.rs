//! Finds the object that a request reads, by the permission that it comes with, and serves it.

use base::{Response, Result};
use http::HeaderMap;

use crate::error::{OrDatabase, no_such_bucket};
use crate::extract::ObjectPath;
use crate::models::bucket::Rules;
use crate::models::object::{StoredObject, Wanted};
use crate::operation::Operation;
use crate::serve::{Presentation, Serving, bytes_missing};
use crate::session::Session;

/// What allows a request to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// The bucket is public, or the token's caller may see the object.
    BucketOrCaller,
    /// The URL, whose token has been verified.
    SignedUrl,
}

/// One object that a request reads.
pub(crate) struct Lookup<'a> {
    pub(crate) session: &'a Session,
    pub(crate) operation: Operation,
    pub(crate) permission: Permission,
    pub(crate) path: &'a ObjectPath,
    /// The version, if only that will do.
    pub(crate) version: Option<&'a str>,
}

impl Lookup<'_> {
    /// The object's row.
    ///
    /// Errors: `NoSuchKey`; `NoSuchBucket`, which a private bucket is to a caller without a token.
    pub(crate) async fn find(&self) -> Result<StoredObject> {
        let past_policies = match self.permission {
            Permission::SignedUrl => true,
            Permission::BucketOrCaller => {
                let public = Rules::of(self.session, &self.path.bucket).await?.public;
                if !public && !self.session.is_authenticated() {
                    return Err(no_such_bucket());
                }
                public
            }
        };
        let mut tx = match past_policies {
            true => self.session.begin_as_service(self.operation).await?,
            false => self.session.begin(self.operation).await?,
        };
        let wanted = Wanted { bucket: &self.path.bucket, key: &self.path.key, version: self.version };
        let object = StoredObject::find(&mut tx, &wanted).await?;
        tx.commit().await.or_database()?;
        Ok(object)
    }

    /// The object as a response.
    ///
    /// It may be replaced, and its bytes discarded, between the look at its row and the opening of its bytes: then the
    /// next look finds its successor.
    pub(crate) async fn serve(
        &self,
        headers: &HeaderMap,
        presentation: &Presentation<'_>,
    ) -> Result<Response> {
        let mut seen = None;
        loop {
            let object = self.find().await?;
            let serving = Serving::new(&object, headers, presentation);
            match serving.get(&self.session.storage.blobs, self.session.project.id).await? {
                Some(response) => return Ok(response),
                None if seen == Some(object.version()) => return Err(bytes_missing()),
                None => seen = Some(object.version()),
            }
        }
    }
}
