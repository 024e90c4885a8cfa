//! People's pictures, which one protocol keeps and the others show.

use bytes::Bytes;
use sammen_core::network::BoxFuture;
use sammen_core::{Address, Outcome};

/// Who keeps the pictures of people.
pub trait Pictures: Send + Sync + 'static {
    /// What tells one picture of an account from the next: letters and digits. Blocking.
    fn picture_version(&self, account: &Address) -> Option<String>;

    /// Media type and bytes of the picture that everyone may see. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    fn picture(&self, account: &Address) -> Outcome<Option<(String, Bytes)>>;

    /// Sets the picture, for every protocol; `None` takes it away. The media type is one of PNG, JPEG, GIF and WebP, and
    /// the bytes are of that type.
    ///
    /// # Errors
    /// When it does not fit.
    fn set_picture<'a>(
        &'a self,
        account: &'a Address,
        picture: Option<(String, Bytes)>,
    ) -> BoxFuture<'a, Outcome<()>>;
}

/// Nobody has a picture: for tests and nodes without XMPP.
#[derive(Debug, Default)]
pub struct NoPictures;

impl Pictures for NoPictures {
    fn picture_version(&self, _: &Address) -> Option<String> {
        None
    }

    fn picture(&self, _: &Address) -> Outcome<Option<(String, Bytes)>> {
        Ok(None)
    }

    fn set_picture<'a>(
        &'a self,
        _: &'a Address,
        _: Option<(String, Bytes)>,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async { Err(sammen_core::Refusal::Invalid("pictures are not kept here")) })
    }
}
