//! What push rules say of an event.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ruma::events::room::power_levels::{
    RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource,
};
use ruma::push::{
    Action, FlattenedJson, PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset,
};
use ruma::serde::Raw;
use ruma::{OwnedUserId, RoomVersionId, UserId};

use crate::chain::{Room, State};

/// Who made a room, beside the sender of its first event (room version 12).
#[derive(Default, serde::Deserialize)]
struct Create {
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

/// What a rule asks for.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// It is worth a notification.
    pub notify: bool,
    /// It is to stand out.
    pub highlight: bool,
    /// All that was asked for.
    pub actions: Vec<Action>,
}

/// What rules look at beside the event.
pub fn context(room: &Room, state: &State, user: &UserId) -> PushConditionRoomCtx {
    let joined = state.members().filter(|(_, membership, _)| {
        *membership == ruma::events::room::member::MembershipState::Join
    });
    let count = u32::try_from(joined.count()).unwrap_or(u32::MAX);
    let name = state
        .content::<serde_json::Value>("m.room.member", user.as_str())
        .and_then(|content| content.get("displayname")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| user.localpart().to_owned());
    let context = PushConditionRoomCtx::new(room.id.clone(), count.into(), user.to_owned(), name);
    match power(&room.version, state) {
        Some(power) => context.with_power_levels(power),
        None => context,
    }
}

fn power(version: &RoomVersionId, state: &State) -> Option<PushConditionPowerLevelsCtx> {
    let content: RoomPowerLevelsEventContent = state.content("m.room.power_levels", "")?;
    let create = state.get("m.room.create", "")?;
    let more: Create = create.own().unwrap_or_default();
    let mut creators = vec![create.sender.clone()];
    creators.extend(more.additional_creators);
    let levels = RoomPowerLevels::new(
        RoomPowerLevelsSource::Original(content),
        &version.rules()?.authorization,
        creators,
    );
    Some(levels.into())
}

/// What the rules say.
pub fn evaluate<T>(
    rules: &Arc<Ruleset>,
    event: &Raw<T>,
    context: &PushConditionRoomCtx,
) -> Verdict {
    let event = FlattenedJson::from_raw(event);
    if event.get_str("sender") == Some(context.user_id.as_str()) {
        return Verdict::default();
    }
    for rule in rules.iter() {
        // Nothing that is asked for here waits for anything.
        let applies = pin!(rule.applies(&event, context));
        let mut cx = Context::from_waker(Waker::noop());
        if applies.poll(&mut cx) == Poll::Ready(true) {
            return Verdict {
                notify: rule.triggers_notification(),
                highlight: rule.triggers_notification() && rule.triggers_highlight(),
                actions: rule.actions().to_vec(),
            };
        }
    }
    Verdict::default()
}
