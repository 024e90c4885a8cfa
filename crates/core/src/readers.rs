//! Who can read: one honest sentence about every conversation, as far as this node can know.

use std::collections::BTreeSet;

use crate::address::{Address, AddressParts};
use crate::conversation::{Binding, Visibility};
use crate::convo::Convo;

/// Who is able to read a conversation, and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readers {
    /// The content is end-to-end encrypted: members alone read it. What the scheme is called.
    pub encrypted: Option<String>,
    /// A part of it is plain text although most is encrypted.
    pub mixed: bool,
    /// This node reads the content. It always knows who writes when.
    pub node: bool,
    /// Networks and servers that see it too: `xmpp: other.net`.
    pub servers: BTreeSet<String>,
    /// Everyone can read it without being in it.
    pub public: bool,
}

/// Who can read a conversation as things stand.
pub fn readers(convo: &Convo) -> Readers {
    let conversation = &convo.conversation;
    let bound = match &conversation.settings.binding {
        Binding::Bound(scheme) => Some(scheme.clone()),
        Binding::Unbound => None,
    };
    let turned = conversation.turned_encrypted.as_ref();
    let encrypted = bound.or_else(|| turned.map(|t| t.scheme.clone()));
    let mixed = turned.is_some_and(|t| t.plain_allowed);
    let mut servers = BTreeSet::new();
    let mut note = |address: &Address| {
        if let AddressParts::Remote { network, id } = address.parts() {
            let server = id.rsplit(['@', ':']).next().unwrap_or(id);
            servers.insert(format!("{network}: {server}"));
        }
    };
    if let Some((a, b)) = conversation.pair() {
        note(a);
        note(b);
    }
    if let Some(room) = conversation.room() {
        note(room);
    }
    for member in convo.joined() {
        note(&member.address);
    }
    let public = convo.is_room() && conversation.settings.visibility == Visibility::World;
    Readers {
        node: encrypted.is_none() || mixed,
        encrypted,
        mixed,
        servers,
        public,
    }
}

/// Who could read a direct conversation of a pair in which nothing was said yet.
pub fn between(a: &Address, b: &Address) -> Readers {
    let server = |address: &Address| match address.parts() {
        AddressParts::Remote { network, id } => {
            let server = id.rsplit(['@', ':']).next().unwrap_or(id);
            Some(format!("{network}: {server}"))
        }
        _ => None,
    };
    Readers {
        encrypted: None,
        mixed: false,
        node: true,
        servers: [a, b].into_iter().filter_map(server).collect(),
        public: false,
    }
}

impl Readers {
    /// The sentence that people read.
    pub fn sentence(&self) -> String {
        let mut who = String::from("Only the people in this conversation");
        let mut more: Vec<String> = Vec::new();
        if self.public {
            who = "Anyone".into();
        }
        if self.node {
            more.push("this node".into());
            if !self.servers.is_empty() && self.encrypted.is_none() {
                let list: Vec<&str> = self.servers.iter().map(String::as_str).collect();
                more.push(format!("the servers {}", list.join(", ")));
            }
        }
        let mut text = if more.is_empty() {
            format!("{who} can read it")
        } else {
            format!("{who} and {} can read it", more.join(" and "))
        };
        if let Some(scheme) = &self.encrypted {
            text.push_str(&if self.mixed {
                format!("; parts are encrypted with {scheme}")
            } else {
                format!(" (encrypted with {scheme}); this node sees who writes when")
            });
        }
        text.push('.');
        text
    }
}
