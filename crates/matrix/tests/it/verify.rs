//! Whole chains, looked at as another server would: signatures, content hashes, ids, the rules of the room.

use std::collections::{BTreeMap, HashMap};

use ruma::canonical_json::CanonicalJsonObject;
use ruma::events::{StateEventType, TimelineEventType};
use ruma::signatures::{Verified, reference_hash, verify_event};
use ruma::state_res::{
    Event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UInt,
    UserId,
};
use sammen_matrix::chain::{Direction, Room};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::house::House;

/// A PDU as it came over the wire.
#[derive(Clone, Debug, Deserialize)]
pub struct Pdu {
    #[serde(skip, default = "nothing")]
    pub id: OwnedEventId,
    room_id: Option<OwnedRoomId>,
    pub sender: OwnedUserId,
    origin_server_ts: UInt,
    #[serde(rename = "type")]
    pub kind: TimelineEventType,
    pub state_key: Option<String>,
    pub content: Box<RawValue>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
}

fn nothing() -> OwnedEventId {
    EventId::parse("$0").unwrap()
}

impl Event for Pdu {
    type Id = OwnedEventId;
    fn event_id(&self) -> &OwnedEventId {
        &self.id
    }
    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }
    fn sender(&self) -> &UserId {
        &self.sender
    }
    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(self.origin_server_ts)
    }
    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }
    fn content(&self) -> &RawValue {
        &self.content
    }
    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }
    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }
    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }
    fn redacts(&self) -> Option<&OwnedEventId> {
        None
    }
    fn rejected(&self) -> bool {
        false
    }
}

impl Pdu {
    /// A field of the content.
    pub fn says(&self, field: &str) -> serde_json::Value {
        let content: serde_json::Value = serde_json::from_str(self.content.get()).unwrap();
        content[field].clone()
    }
}

/// The PDUs of a whole room, each of which was verified. `erased` says how many may lack their content.
pub async fn whole(house: &House, room: &Room, erased: usize) -> Vec<Pdu> {
    let rooms = &house.matrix.rooms;
    let key = rooms.key().await.unwrap();
    let public = ruma::serde::Base64::new(key.public_key().to_vec());
    let names = BTreeMap::from([(format!("ed25519:{}", key.version()), public)]);
    let keys = BTreeMap::from([("example.org".to_owned(), names)]);
    let rules = room.version.rules().unwrap();
    let links = room
        .links(1..=u64::MAX, Direction::Forward, 100_000)
        .unwrap();
    assert!(!links.is_empty());
    let (mut pdus, mut by_id) = (Vec::new(), HashMap::new());
    let mut state: HashMap<(String, String), Pdu> = HashMap::new();
    let mut lacking = 0;
    for (n, link) in links.iter().enumerate() {
        assert_eq!(link.ordinal, n as u64 + 1, "no gaps");
        let json: CanonicalJsonObject = rooms.pdu(room, link).unwrap().unwrap();
        let text = serde_json::to_string(&json).unwrap();
        let hash = reference_hash(&json, &rules).unwrap();
        assert_eq!(link.id, format!("${hash}"), "{text}");
        match verify_event(&keys, &json, &rules).unwrap_or_else(|e| panic!("{e}: {text}")) {
            Verified::All => {}
            _ => lacking += 1,
        }
        let mut pdu: Pdu = serde_json::from_str(&text).unwrap();
        pdu.id = link.id.clone();
        let before: Vec<&EventId> = pdus.last().map(|p: &Pdu| &*p.id).into_iter().collect();
        assert_eq!(pdu.prev_events, before, "{text}");
        check_state_independent_auth_rules(&rules.authorization, &pdu, |id| by_id.get(id).cloned())
            .unwrap_or_else(|e| panic!("{e}: {text}"));
        // By the events that it names itself, and by the state of the room.
        let named: HashMap<(String, String), Pdu> = pdu
            .auth_events
            .iter()
            .map(|id| {
                let event: &Pdu = by_id.get(&**id).unwrap();
                let key = event.state_key.clone().unwrap();
                ((event.kind.to_string(), key), event.clone())
            })
            .collect();
        for (which, state) in [("named", &named), ("state", &state)] {
            check_state_dependent_auth_rules(
                &rules.authorization,
                &pdu,
                |kind: &StateEventType, key: &str| {
                    let found = state.get(&(kind.to_string(), key.to_owned())).cloned();
                    // Version 12: the first event is known by the room's id.
                    found.or_else(|| {
                        (kind == &StateEventType::RoomCreate).then(|| pdus.first().cloned())?
                    })
                },
            )
            .unwrap_or_else(|e| panic!("{which}: {e}: {text}"));
        }
        if let Some(key) = &pdu.state_key {
            state.insert((pdu.kind.to_string(), key.clone()), pdu.clone());
        }
        by_id.insert(pdu.id.clone(), pdu.clone());
        pdus.push(pdu);
    }
    assert!(lacking <= erased, "{lacking} events lack their content");
    pdus
}
