//! Announcements of the administrators: one to everybody who is here, and the message of the day for who comes.

use serde::{Deserialize, Serialize};

use crate::document::Owner;
use crate::live::StateChange;
use crate::node::Node;
use crate::ops::accounts::may_administer;
use crate::principal::Principal;
use crate::refusal::{Outcome, Refusal};
use crate::tx::{Expect, Tx, decode, encode};

const NAMESPACE: &str = "announcement";
const MOTD: &str = "motd";

/// What the administrators say to everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// What it is about.
    pub subject: Option<String>,
    /// What they say.
    pub text: String,
}

fn check(tx: &mut Tx<'_>, by: &Principal, word: &Announcement) -> Outcome<()> {
    may_administer(tx, by)?;
    let long = word.subject.as_ref().is_some_and(|s| s.len() > 1024);
    if long || word.text.len() > tx.limits().text_bytes {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Tells everybody who is signed in, on every protocol. It is nobody's history.
///
/// # Errors
/// When the principal is no administrator, or the words are too long.
pub fn announce(tx: &mut Tx<'_>, by: &Principal, word: Announcement) -> Outcome<()> {
    check(tx, by, &word)?;
    let change = std::sync::Arc::new(StateChange::Announced(word));
    tx.after(move |live| {
        let all: Vec<_> = live.all().map(|s| s.id).collect();
        for session in all {
            live.tell_session(session, &change);
        }
    });
    Ok(())
}

/// Sets what everybody reads who comes; `None` takes it away.
///
/// # Errors
/// When the principal is no administrator, or the words are too long.
pub fn set_motd(tx: &mut Tx<'_>, by: &Principal, word: Option<Announcement>) -> Outcome<()> {
    may_administer(tx, by)?;
    if let Some(word) = &word {
        check(tx, by, word)?;
    }
    let value = word.as_ref().map(encode).transpose()?;
    tx.put_document(&Owner::Node, NAMESPACE, MOTD, Expect::Anything, value)?;
    Ok(())
}

/// What everybody reads who comes. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn motd(node: &Node) -> Outcome<Option<Announcement>> {
    let found = node.store().document(&Owner::Node, NAMESPACE, MOTD)?;
    Ok(found.and_then(|d| d.value).and_then(|v| decode(&v)))
}
