//! Media (client-server API, "Content repository"): the node's files, the same that XMPP and the page have, under `mxc:`
//! addresses.
//!
//! ```text
//! mxc://example.org/<slot>              a file      ⇄ https://example.org/upload/<slot>/<name>
//! mxc://example.org/p-<version>-<whose> a person's picture, from whoever keeps it (host.rs)
//! ```
//! Nothing is found by its digest: who knows of a file may know that without being allowed to read it.
//!
//! upload.rs takes in, download.rs gives out, thumbnail.rs makes small pictures.

mod download;
mod thumbnail;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use ruma::api::client::authenticated_media::get_media_config::v1 as config;
use ruma::{MxcUri, OwnedMxcUri, UInt};
use sammen_core::{Address, Outcome};
use sammen_net::files;
use tokio::sync::Notify;

use crate::extract::Ask;
use crate::fault::Answer;
use crate::routes::Table;
use crate::server::Matrix;

/// What requests about media share.
#[derive(Default)]
pub struct Media {
    /// Rung when a file came for an address that was made before.
    arrived: Notify,
    small: thumbnail::Shelf,
}

/// What an `mxc:` address of this node leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, by its slot.
    File(String),
    /// A person's picture, as it was at this version.
    Picture {
        /// Whose.
        of: Address,
        /// Which.
        version: String,
    },
}

impl Place {
    /// What a media id means, if it is one of ours.
    pub fn parse(id: &str) -> Option<Self> {
        if files::is_slot(id) {
            return Some(Place::File(id.to_owned()));
        }
        let (version, of) = id.strip_prefix("p-")?.split_once('-')?;
        let of = String::from_utf8(bytes_of(of)?).ok()?;
        Some(Place::Picture {
            of: Address::new(&of).ok()?,
            version: version.to_owned(),
        })
    }

    /// The media id.
    pub fn id(&self) -> String {
        match self {
            Place::File(slot) => slot.clone(),
            Place::Picture { of, version } => {
                format!("p-{version}-{}", hexadecimal(of.as_str().as_bytes()))
            }
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
    let both = |b: &u8| [digit(b >> 4), digit(b & 15)];
    bytes.iter().flat_map(both).collect()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok().filter(|t| t.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect()
}

impl Matrix {
    /// The `mxc:` address of a place of this node.
    pub fn mxc(&self, place: &Place) -> OwnedMxcUri {
        OwnedMxcUri::from(format!("mxc://{}/{}", self.name, place.id()))
    }

    /// What an `mxc:` address leads to; `None` for other servers'.
    pub fn place(&self, mxc: &MxcUri) -> Option<Place> {
        let (server, id) = mxc.parts().ok()?;
        (server == &*self.name).then(|| Place::parse(id))?
    }
}

/// The `mxc:` address of a file of this node, by the address that others have of it (core's `Attachment::url`); `None`
/// where the file is elsewhere.
pub fn mxc_of(matrix: &Matrix, url: &str) -> Option<OwnedMxcUri> {
    let path = match url.strip_prefix(&matrix.base()) {
        Some(path) => path,
        // Files that the page uploaded are kept with their path alone.
        None => url,
    };
    let (slot, _) = path
        .strip_prefix(files::PATH)?
        .strip_prefix('/')?
        .split_once('/')?;
    files::is_slot(slot).then(|| matrix.mxc(&Place::File(slot.to_owned())))
}

/// The address under which everybody else finds what an `mxc:` address of this node leads to, with its name, media type
/// and size; `None` where there is no such file (yet). Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn url_of(matrix: &Matrix, mxc: &MxcUri) -> Outcome<Option<(String, files::Upload)>> {
    let Some(Place::File(slot)) = matrix.place(mxc) else {
        return Ok(None);
    };
    let found = files::upload(&matrix.node, &slot)?;
    Ok(found.map(|file| {
        let path = files::path(&slot, &file.name.name);
        (format!("{}{path}", matrix.base()), file)
    }))
}

/// The picture that an `mxc:` address of this node leads to, small enough for every protocol: media type and bytes.
///
/// # Errors
/// When there is none, or it is no picture.
pub async fn portrait(matrix: &Arc<Matrix>, mxc: &MxcUri) -> Answer<(String, Bytes)> {
    let place = matrix.place(mxc).ok_or_else(download::nothing)?;
    thumbnail::portrait(matrix, place).await
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(config);
    table.on(old::config);
    upload::routes(table);
    download::routes(table);
    thumbnail::routes(table);
}

async fn config(matrix: Arc<Matrix>, _: Ask<config::Request>) -> Answer<config::Response> {
    let most = matrix.node.limits().blob_bytes;
    Ok(config::Response::new(UInt::new_saturating(most)))
}

mod old {
    //! The address that clients used before ("deprecated").
    #![expect(
        deprecated,
        reason = "clients older than the specification's v1.11 ask it"
    )]
    use super::*;
    use ruma::api::client::media::get_media_config::v3 as config;

    pub async fn config(matrix: Arc<Matrix>, _: Ask<config::Request>) -> Answer<config::Response> {
        let most = matrix.node.limits().blob_bytes;
        Ok(config::Response::new(UInt::new_saturating(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_id_says_what_it_leads_to() {
        let slot = "0123456789abcdef0123456789abcdef";
        for place in [
            Place::File(slot.into()),
            Place::Picture {
                of: Address::new("xmpp:bob.2@other.net").unwrap(),
                version: "2fd4e1c6".into(),
            },
        ] {
            assert_eq!(Place::parse(&place.id()), Some(place.clone()));
            let mxc = OwnedMxcUri::from(format!("mxc://example.org/{}", place.id()));
            assert!(mxc.is_valid(), "{mxc}");
        }
        let digest = format!("b-{}", sammen_core::blob::BlobId::of(b"x"));
        for nothing in [
            "", "abc", &digest, "p-1", "p-1-zz", "p-1-6", "p-1-20", "../x",
        ] {
            assert_eq!(Place::parse(nothing), None, "{nothing}");
        }
    }
}
