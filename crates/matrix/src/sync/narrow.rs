//! What a filter lets through (client-server API, "Filtering").

use ruma::api::client::filter::{Filter, LazyLoadOptions, RoomEventFilter, RoomFilter, UrlFilter};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

/// Whether a name fits a pattern in which `*` stands for any characters.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    let middle: Vec<&str> = parts.collect();
    for part in middle.split_last().map_or(&[][..], |(_, middle)| middle) {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    true
}

fn type_fits(types: Option<&[String]>, not_types: &[String], kind: &str) -> bool {
    types.is_none_or(|types| types.iter().any(|t| fits(t, kind)))
        && !not_types.iter().any(|t| fits(t, kind))
}

fn sender_fits(
    senders: Option<&[OwnedUserId]>,
    not_senders: &[OwnedUserId],
    sender: Option<&str>,
) -> bool {
    let Some(sender) = sender else {
        return senders.is_none();
    };
    senders.is_none_or(|senders| senders.iter().any(|s| s == sender))
        && !not_senders.iter().any(|s| s == sender)
}

fn room_fits(rooms: Option<&[OwnedRoomId]>, not_rooms: &[OwnedRoomId], room: &RoomId) -> bool {
    rooms.is_none_or(|rooms| rooms.iter().any(|r| r == room))
        && !not_rooms.iter().any(|r| r == room)
}

/// Whether something that is in no room passes.
pub fn passes(filter: &Filter, kind: &str, sender: Option<&str>) -> bool {
    type_fits(filter.types.as_deref(), &filter.not_types, kind)
        && sender_fits(filter.senders.as_deref(), &filter.not_senders, sender)
}

/// Whether a room is wanted at all.
pub fn wants_room(filter: &RoomFilter, room: &RoomId) -> bool {
    room_fits(filter.rooms.as_deref(), &filter.not_rooms, room)
}

/// Whether anything of a room is wanted by this part of the filter.
pub fn part_wants_room(filter: &RoomEventFilter, room: &RoomId) -> bool {
    room_fits(filter.rooms.as_deref(), &filter.not_rooms, room)
}

/// Whether an event passes by its type and sender; what it contains is asked by [`url_fits`].
pub fn event_passes(filter: &RoomEventFilter, kind: &str, sender: Option<&str>) -> bool {
    type_fits(filter.types.as_deref(), &filter.not_types, kind)
        && sender_fits(filter.senders.as_deref(), &filter.not_senders, sender)
}

/// Whether the filter asks whether there is a `url` in the content.
pub fn asks_url(filter: &RoomEventFilter) -> bool {
    filter.url_filter.is_some()
}

/// Whether an event passes that has a `url` in its content, or has none.
pub fn url_fits(filter: &RoomEventFilter, has_url: bool) -> bool {
    match &filter.url_filter {
        Some(UrlFilter::EventsWithUrl) => has_url,
        Some(UrlFilter::EventsWithoutUrl) => !has_url,
        None => true,
    }
}

/// Whether members are told only where they speak; and if so, whether again and again.
pub fn lazy(filter: &RoomEventFilter) -> Option<bool> {
    match filter.lazy_load_options {
        LazyLoadOptions::Enabled {
            include_redundant_members,
        } => Some(include_redundant_members),
        LazyLoadOptions::Disabled => None,
    }
}

/// How many events, at most `most`.
pub fn limit(filter: &RoomEventFilter, default: usize, most: usize) -> usize {
    let asked = filter.limit.and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(default).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, yes) in [
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.message2", false),
            ("m.room.*", "m.room.name", true),
            ("m.room.*", "m.rooms", false),
            ("*", "", true),
            ("*.message", "m.room.message", true),
            ("m.*.me*ge", "m.room.message", true),
            ("m.*.me*ge", "m.room.mege", true),
            ("a*a", "a", false),
            ("a*b*c", "acb", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), yes, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_excluded_stays_out_whatever_includes_it() {
        let filter: RoomEventFilter = serde_json::from_value(serde_json::json!({
            "types": ["m.*"],
            "not_types": ["m.room.member"],
            "not_senders": ["@eve:m.org"],
            "contains_url": true,
        }))
        .unwrap();
        assert!(event_passes(&filter, "m.room.name", Some("@a:m.org")));
        assert!(!event_passes(&filter, "m.room.member", Some("@a:m.org")));
        assert!(!event_passes(&filter, "m.room.name", Some("@eve:m.org")));
        assert!(!event_passes(&filter, "x.y", Some("@a:m.org")));
        assert!(asks_url(&filter) && url_fits(&filter, true) && !url_fits(&filter, false));
    }
}
