//! The log of an account's key changes (DESIGN: "Encryption rules"): kept, and told to the account's sessions on every
//! protocol, so that nobody adds a device or another identity unseen.

use sammen_core::document::Owner;
use sammen_core::live::{KeyChange, StateChange};
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Device, Outcome, Seq, Timestamp};
use serde::{Deserialize, Serialize};

use crate::shelf::encode;

/// `<seq>`.
const NAMESPACE: &str = "matrix.keys.log";
/// Most entries; the oldest go.
const MOST: usize = 1_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A device published its keys.
    DeviceAdded,
    /// A device published other keys than before.
    DeviceReplaced,
    /// A device with keys is gone.
    DeviceRemoved,
    /// The account has an identity for cross-signing now.
    IdentityAdded,
    /// The account has another identity than before.
    IdentityReplaced,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// The Matrix id of the device that it is about, or that did it.
    pub device: String,
}

/// Notes a change, in the writer, and tells the account's sessions after the commit.
///
/// # Errors
/// When the batch can't take it.
pub(super) fn add(tx: &mut Tx<'_>, device: &Device, what: What) -> Outcome<()> {
    let owner = Owner::from(&device.account);
    let entry = Entry {
        at: tx.now,
        what,
        device: device.key.clone(),
    };
    let Seq(seq) = tx.next_seq();
    let value = Some(encode(&entry)?);
    let key = format!("{seq:016x}");
    tx.put_document(&owner, NAMESPACE, &key, Expect::Anything, value)?;
    let all = tx.documents_with(&owner, NAMESPACE, "", MOST * 2)?;
    for old in all.iter().take(all.len().saturating_sub(MOST)) {
        tx.erase_document(&owner, NAMESPACE, &old.key);
    }
    let change = match what {
        What::DeviceAdded => KeyChange::DeviceAdded,
        What::DeviceReplaced => KeyChange::DeviceReplaced,
        What::DeviceRemoved => return Ok(()),
        What::IdentityAdded => KeyChange::IdentityAdded,
        What::IdentityReplaced => KeyChange::IdentityReplaced,
    };
    let device = std::sync::Arc::new(device.clone());
    tx.tell_account(
        &device.account.clone(),
        StateChange::Keys { device, change },
    );
    Ok(())
}
