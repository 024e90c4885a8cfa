//! What is spoken over HTTP: the schemas of the OpenAPI document and the client's TypeScript types follow from these.

mod account;
mod admin;
mod conversation;
mod entry;
mod invitation;
mod people;
mod room;
mod stream;

pub use account::*;
pub use admin::*;
pub use conversation::*;
pub use entry::*;
pub use invitation::*;
pub use people::*;
pub use room::*;
pub use stream::*;

/// A type that is answered.
macro_rules! answer {
    ($($item:item)*) => {$(
        #[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
        $item
    )*};
}
/// A type that is asked with: unknown fields are refused.
macro_rules! ask {
    ($($item:item)*) => {$(
        #[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $item
    )*};
}
/// A type that goes both ways.
macro_rules! both {
    ($($item:item)*) => {$(
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $item
    )*};
}
pub(crate) use {answer, ask, both};
