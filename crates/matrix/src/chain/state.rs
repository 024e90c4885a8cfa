//! The state of a room: the newest event of each type and state key.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::UserId;
use ruma::events::TimelineEventType;
use ruma::events::room::member::MembershipState;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::link::Link;

type Keys = BTreeMap<String, Arc<Link>>;
type Members = BTreeMap<String, MembershipState>;

/// State. Cheap to clone: what was not changed is shared.
#[derive(Clone, Debug, Default)]
pub struct State {
    types: BTreeMap<String, Arc<Keys>>,
    /// What the events of members say: asked for everybody who waits, at each message.
    members: Arc<Members>,
}

impl State {
    /// The event of a type and state key.
    pub fn get(&self, kind: &str, key: &str) -> Option<&Arc<Link>> {
        self.types.get(kind)?.get(key)
    }

    /// All events of a type, by state key.
    pub fn of<'a>(&'a self, kind: &str) -> impl Iterator<Item = (&'a str, &'a Arc<Link>)> {
        let keys = self.types.get(kind);
        keys.into_iter()
            .flat_map(|keys| keys.iter().map(|(key, link)| (key.as_str(), link)))
    }

    /// All of it.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.types.values().flat_map(|keys| keys.values())
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.types.values().map(|keys| keys.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// What an event says.
    pub fn content<T: DeserializeOwned>(&self, kind: &str, key: &str) -> Option<T> {
        self.get(kind, key)?.own()
    }

    /// A text in an event of a type with the empty state key.
    pub fn text(&self, kind: &str, field: &str) -> Option<String> {
        let content: serde_json::Value = self.content(kind, "")?;
        content.get(field)?.as_str().map(str::to_owned)
    }

    /// Where somebody stands; [`MembershipState::Leave`] for who never was here.
    pub fn membership(&self, user: &UserId) -> MembershipState {
        let known = self.members.get(user.as_str());
        known.cloned().unwrap_or(MembershipState::Leave)
    }

    /// Everybody, and where they stand.
    pub fn members(&self) -> impl Iterator<Item = (&str, MembershipState, &Arc<Link>)> {
        self.of("m.room.member")
            .map(|(user, link)| (user, membership(link), link))
    }

    pub(super) fn set(&mut self, link: Arc<Link>) {
        let Some(key) = link.state_key.clone() else {
            return;
        };
        if link.kind == TimelineEventType::RoomMember {
            Arc::make_mut(&mut self.members).insert(key.clone(), membership(&link));
        }
        let keys = self.types.entry(link.kind.to_string()).or_default();
        Arc::make_mut(keys).insert(key, link);
    }

    pub(super) fn remove(&mut self, kind: &str, key: &str) {
        if kind == "m.room.member" {
            Arc::make_mut(&mut self.members).remove(key);
        }
        if let Some(keys) = self.types.get_mut(kind) {
            Arc::make_mut(keys).remove(key);
        }
    }
}

#[derive(Deserialize)]
struct Member {
    membership: MembershipState,
}

/// What a membership event says.
pub fn membership(link: &Link) -> MembershipState {
    link.own::<Member>()
        .map_or(MembershipState::Leave, |member| member.membership)
}
