//! The names of operations that policies can ask for (`storage.operation()`).

/// One operation's name, as the original API sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation(pub(crate) &'static str);

pub(crate) const BUCKET_CREATE: Operation = Operation("storage.bucket.create");
pub(crate) const BUCKET_DELETE: Operation = Operation("storage.bucket.delete");
pub(crate) const BUCKET_EMPTY: Operation = Operation("storage.bucket.empty");
pub(crate) const BUCKET_LIST: Operation = Operation("storage.bucket.list");
pub(crate) const BUCKET_GET: Operation = Operation("storage.bucket.get");
pub(crate) const BUCKET_UPDATE: Operation = Operation("storage.bucket.update");

pub(crate) const OBJECT_UPLOAD: Operation = Operation("storage.object.upload");
pub(crate) const OBJECT_UPLOAD_UPDATE: Operation = Operation("storage.object.upload_update");
pub(crate) const OBJECT_UPLOAD_SIGNED: Operation = Operation("storage.object.upload_signed");
pub(crate) const OBJECT_SIGN_UPLOAD_URL: Operation = Operation("storage.object.sign_upload_url");
pub(crate) const OBJECT_SIGN: Operation = Operation("storage.object.sign");
pub(crate) const OBJECT_SIGN_MANY: Operation = Operation("storage.object.sign_many");
pub(crate) const OBJECT_COPY: Operation = Operation("storage.object.copy");
pub(crate) const OBJECT_MOVE: Operation = Operation("storage.object.move");
pub(crate) const OBJECT_DELETE: Operation = Operation("storage.object.delete");
pub(crate) const OBJECT_DELETE_MANY: Operation = Operation("storage.object.delete_many");
pub(crate) const OBJECT_LIST: Operation = Operation("storage.object.list");
pub(crate) const OBJECT_LIST_V2: Operation = Operation("storage.object.list_v2");
pub(crate) const OBJECT_GET_PUBLIC: Operation = Operation("storage.object.get_public");
pub(crate) const OBJECT_GET_AUTHENTICATED: Operation = Operation("storage.object.get_authenticated");
pub(crate) const OBJECT_GET_SIGNED: Operation = Operation("storage.object.get_signed");
pub(crate) const OBJECT_INFO_PUBLIC: Operation = Operation("storage.object.info_public");
/// These two are without the prefix in the original, and policies name them so.
pub(crate) const OBJECT_GET_INFO: Operation = Operation("object.get_authenticated_info");
pub(crate) const OBJECT_HEAD: Operation = Operation("object.head_authenticated_info");
