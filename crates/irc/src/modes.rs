//! Channel modes and ranks as core's settings, standings and roles, both ways.

use sammen_core::conversation::{JoinRule, Settings};
use sammen_core::{Address, Convo, Role, Standing};

use crate::wire::modes::{ModeChange, ModeKind, ModeTable};

/// Parameters of one MODE line.
pub const PER_LINE: usize = 12;

/// The channel modes there are: owner, admin, moderator, voice; ban, except, invite-except lists; key; limit;
/// members only, moderated, no messages from outside (always), registered only (always), secret, topic.
pub static CHANNEL: ModeTable = ModeTable {
    prefixes: &[('q', '~'), ('a', '&'), ('o', '@'), ('v', '+')],
    lists: "beI",
    always: "k",
    on_set: "l",
    flags: "imnRst",
};

/// User modes: away is shown elsewhere; operator, bot, secure connection, invisible (always: people are seen in
/// common rooms only).
pub static USER: ModeTable = ModeTable {
    prefixes: &[],
    lists: "",
    always: "",
    on_set: "",
    flags: "BioZ",
};

/// The rank letters of someone, highest first.
pub fn ranks(convo: &Convo, who: &Address) -> impl Iterator<Item = char> + use<> {
    let standing = convo.standing(who);
    let role = convo.role(who);
    let joined = role != Role::None;
    let voiced = role == Role::Participant
        && (convo.conversation.settings.moderated
            || convo
                .member(who)
                .is_some_and(|m| m.role_override == Some(Role::Participant)));
    [
        (joined && standing == Standing::Owner).then_some('q'),
        (joined && standing == Standing::Admin).then_some('a'),
        (role == Role::Moderator).then_some('o'),
        voiced.then_some('v'),
    ]
    .into_iter()
    .flatten()
}

/// The symbols before a nick; only the highest without multi-prefix.
pub fn symbols(convo: &Convo, who: &Address, multi: bool) -> String {
    let symbol = |letter| {
        let found = CHANNEL.prefixes.iter().find(|(l, _)| *l == letter);
        found.map(|(_, symbol)| *symbol)
    };
    let all = ranks(convo, who).filter_map(symbol);
    all.take(if multi { 4 } else { 1 }).collect()
}

/// What of someone's ranks changed between two states of a room, as MODE changes.
pub fn rank_changes(before: &Convo, after: &Convo, who: &Address, nick: &str) -> Vec<ModeChange> {
    let (old, new): (Vec<_>, Vec<_>) = (ranks(before, who).collect(), ranks(after, who).collect());
    let change = |set, mode| ModeChange {
        set,
        mode,
        kind: ModeKind::Prefix,
        arg: Some(nick.to_owned()),
    };
    let mut out: Vec<_> = old
        .iter()
        .filter(|m| !new.contains(m))
        .map(|m| change(false, *m))
        .collect();
    out.extend(
        new.iter()
            .filter(|m| !old.contains(m))
            .map(|m| change(true, *m)),
    );
    let same_rule = before.conversation.settings.moderated == after.conversation.settings.moderated;
    if out.is_empty() && same_rule {
        // Muted in a room where nobody needs a voice: shown as the voice that is missing.
        match (before.role(who), after.role(who)) {
            (Role::Participant, Role::Visitor) => out.push(change(false, 'v')),
            (Role::Visitor, Role::Participant) => out.push(change(true, 'v')),
            _ => {}
        }
    }
    out
}

/// The modes of a room's settings; `key` says whether the asker may see the password.
pub fn of_settings(settings: &Settings, key: bool) -> Vec<ModeChange> {
    let flag = |mode| ModeChange {
        set: true,
        mode,
        kind: ModeKind::Flag,
        arg: None,
    };
    let mut out: Vec<ModeChange> = [
        (settings.join_rule != JoinRule::Open, 'i'),
        (settings.moderated, 'm'),
        (true, 'n'),
        (true, 'R'),
        (!settings.listed, 's'),
        (!settings.topic_open, 't'),
    ]
    .into_iter()
    .filter(|(on, _)| *on)
    .map(|(_, mode)| flag(mode))
    .collect();
    if settings.max_members > 0 {
        out.push(ModeChange {
            kind: ModeKind::OnSet,
            arg: Some(settings.max_members.to_string()),
            ..flag('l')
        });
    }
    if let Some(password) = &settings.password {
        let shown = if key { password.as_str() } else { "*" };
        out.push(ModeChange {
            kind: ModeKind::Always,
            arg: Some(shown.to_owned()),
            ..flag('k')
        });
    }
    out
}

/// What changed between two states of a room's settings, lists included.
pub fn changes(before: &Settings, after: &Settings, key: bool) -> Vec<ModeChange> {
    let (old, new) = (of_settings(before, key), of_settings(after, key));
    let mut out: Vec<ModeChange> = old
        .iter()
        .filter(|o| !new.iter().any(|n| n.mode == o.mode))
        .map(|o| ModeChange {
            set: false,
            arg: o.arg.clone().filter(|_| o.kind == ModeKind::Always),
            ..o.clone()
        })
        .collect();
    out.extend(new.into_iter().filter(|n| !old.contains(n)));
    let mask = |set, m: &sammen_core::conversation::Mask| ModeChange {
        set,
        mode: m.list,
        kind: ModeKind::List,
        arg: Some(m.mask.clone()),
    };
    let has = |list: &[sammen_core::conversation::Mask], m: &sammen_core::conversation::Mask| {
        list.iter().any(|o| o.list == m.list && o.mask == m.mask)
    };
    for gone in before.masks.iter().filter(|m| !has(&after.masks, m)) {
        out.push(mask(false, gone));
    }
    for new in after.masks.iter().filter(|m| !has(&before.masks, m)) {
        out.push(mask(true, new));
    }
    out
}

/// Sets or clears one flag. `false` for flags that are fixed.
pub fn set_flag(settings: &mut Settings, mode: char, on: bool) -> bool {
    match mode {
        'i' if on && settings.join_rule == JoinRule::Open => settings.join_rule = JoinRule::Members,
        'i' if !on => settings.join_rule = JoinRule::Open,
        'i' => {}
        'm' => settings.moderated = on,
        's' => settings.listed = !on,
        't' => settings.topic_open = !on,
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::modes::render;

    #[test]
    fn settings_are_modes_and_changes_are_told() {
        let before = Settings::default();
        let mut after = before.clone();
        set_flag(&mut after, 'm', true);
        set_flag(&mut after, 't', false);
        after.password = Some("sesame".into());
        after.max_members = 20;
        let changes = changes(&before, &after, true);
        let lines = render(&changes, PER_LINE, 400);
        assert_eq!(lines, [("-t+mlk".to_owned(), vec!["20", "sesame"])]);
        let back = super::changes(&after, &before, false);
        let lines = render(&back, PER_LINE, 400);
        assert_eq!(lines, [("-mlk+t".to_owned(), vec!["*"])]);
    }
}
