//! How the parts of an address are prepared (RFC 7622 §3): local parts by the PRECIS profile UsernameCaseMapped, resources
//! by OpaqueString (RFC 8265), domains by IDNA. What comes out is its own normal form, or it is no address.

use std::borrow::Cow;

use jid::DomainPart;
use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use sammen_net::password::opaque;

use super::jid::{JidError, MOST};

/// RFC 7622 §3.3.1: these are none of a local part's, whatever the profile says.
fn is_excluded(c: char) -> bool {
    matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
}

/// RFC 7622 §3.3.
pub fn local(text: &str) -> Result<Cow<'_, str>, JidError> {
    let done = if text.is_ascii() {
        // What the profile does to ASCII, without its tables.
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(JidError);
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        }
    } else {
        stable(text, |text| {
            UsernameCaseMapped::enforce(text.to_owned()).map_err(|_| JidError)
        })?
    };
    if done.is_empty() || done.len() > MOST || done.chars().any(is_excluded) {
        return Err(JidError);
    }
    Ok(done)
}

/// RFC 7622 §3.4.
pub fn resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    let done = if text.is_ascii() {
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(JidError);
        }
        text.into()
    } else {
        stable(text, |text| opaque(text).map(Cow::Owned).ok_or(JidError))?
    };
    if done.is_empty() || done.len() > MOST {
        return Err(JidError);
    }
    Ok(done)
}

/// RFC 7622 §3.2. A dot at its end goes.
pub fn domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    let part = |text: &str| match DomainPart::new(text) {
        Ok(part) => Ok(part.as_str().to_owned()),
        Err(_) => Err(JidError),
    };
    // Without capitals and A-labels once is enough.
    let plain = |b: u8| b.is_ascii() && !b.is_ascii_uppercase();
    if text.bytes().all(plain) && !text.contains("xn--") {
        part(text).map(Cow::Owned)
    } else {
        stable(text, |text| part(text).map(Cow::Owned))
    }
}

/// Characters that are prepared to others which would be prepared further (`ᴶ` to `J`, or to what the tables don't know)
/// make no address.
fn stable<'a>(
    text: &str,
    prepare: impl Fn(&str) -> Result<Cow<'static, str>, JidError>,
) -> Result<Cow<'a, str>, JidError> {
    let done = prepare(text)?;
    if prepare(&done)? == done {
        Ok(done)
    } else {
        Err(JidError)
    }
}
