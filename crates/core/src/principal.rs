//! Principals: on whose behalf something is read or written.

use crate::address::Address;
use crate::ids::{DeviceId, SessionId};

/// On whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An account, a guest or a remote person, through a session or a network.
    Of(Address),
    /// An administrator of the node, acting as themselves on everything.
    Admin(Address),
    /// The node itself: import, retention, the network that is a conversation's home.
    Node,
}

impl Principal {
    /// The address, unless it is the node.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Principal::Of(a) | Principal::Admin(a) => Some(a),
            Principal::Node => None,
        }
    }
}

impl From<&Address> for Principal {
    fn from(address: &Address) -> Self {
        Principal::Of(address.clone())
    }
}

/// From which device and session something came, so that its counter is stored with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The session, for echoes and replies.
    pub session: Option<SessionId>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The device's inbound counter once this is handled.
    pub inbound: Option<u32>,
}
