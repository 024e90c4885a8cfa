//! Other settings while clients are there: CAP NEW and CAP DEL (IRCv3 cap-notify), and what changed of 005.

use std::sync::Arc;

use crate::session::Session;
use crate::wire::caps::{self, Cap, CapSet};

impl Session {
    /// Tells the client what the settings changed since it was told last.
    pub(crate) fn refresh(&mut self) {
        let server = self.server.clone();
        let new = server.config();
        if Arc::ptr_eq(&self.told, &new) {
            return;
        }
        let old = std::mem::replace(&mut self.told, new.clone());
        let (mechanisms, secure) = (self.mechanisms(), self.client.channel.secure);
        let (before, old_values) = server.caps(&old, &mechanisms, secure);
        let (now, values) = server.caps(&new, &mechanisms, secure);
        let mut gone = before.difference(now);
        // IRCv3 sts: a policy ends by its duration, never by CAP DEL.
        gone.remove(Cap::Sts);
        let fresh: CapSet = now
            .iter()
            .filter(|cap| !before.has(*cap) || old_values.get(*cap) != values.get(*cap))
            .collect();
        // What is no longer there is not in force either, told or not.
        self.caps = self.caps.difference(gone);
        let nick = self.nick().to_owned();
        if self.has(Cap::CapNotify) {
            let values = self.v302.then_some(&values);
            for (word, caps, values) in [("DEL", gone, None), ("NEW", fresh, values)] {
                if !caps.is_empty() {
                    for line in caps::render(&server.name, &nick, word, caps, values, true) {
                        self.emit_line(line);
                    }
                }
            }
        }
        if self.me.is_some() {
            let (before, now) = (server.isupport(&old), server.isupport(&new));
            for line in before.diff(&now, &server.name, &nick) {
                self.emit_line(line);
            }
        }
    }
}
