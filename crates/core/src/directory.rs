//! Which room an address leads to: the addresses of now, and those that renamed rooms had before.

use std::collections::{BTreeMap, HashMap};

use crate::address::Address;
use crate::conversation::Conversation;
use crate::ids::ConversationId;

/// Rooms that are not destroyed, by address.
#[derive(Default)]
pub(crate) struct Directory {
    /// By the address of now, in order.
    pub rooms: BTreeMap<Address, ConversationId>,
    /// By an address of before.
    former: HashMap<Address, ConversationId>,
}

impl Directory {
    /// The room with this address.
    pub fn room(&self, address: &Address) -> Option<ConversationId> {
        self.rooms.get(address).copied()
    }

    /// The room that had this address before.
    pub fn former(&self, address: &Address) -> Option<ConversationId> {
        self.former.get(address).copied()
    }

    /// Takes in a conversation as it is now. In whatever order those of one batch come, an address leads to the one
    /// that has it: none takes away what is another's.
    pub fn put(&mut self, conversation: &Conversation) {
        let Some(room) = conversation.room() else {
            return;
        };
        let id = conversation.id;
        if self.former.get(room) == Some(&id) {
            self.former.remove(room);
        }
        if conversation.destroyed {
            if self.rooms.get(room) == Some(&id) {
                self.rooms.remove(room);
            }
        } else if self.rooms.get(room) != Some(&id) {
            self.rooms.insert(room.clone(), id);
        }
        for before in &conversation.former {
            if self.rooms.get(before) == Some(&id) {
                self.rooms.remove(before);
            }
            if !conversation.destroyed {
                self.former.insert(before.clone(), id);
            } else if self.former.get(before) == Some(&id) {
                self.former.remove(before);
            }
        }
    }
}
