//! LIST with ELIST: the rooms that are listed, and those that the asker is in.

use std::sync::Arc;

use sammen_core::{Convo, Timestamp};

use crate::session::Session;
use crate::translate::out::one_line;
use crate::wire::casemap::Mask;
use crate::wire::{Message, Numeric};

/// Most rooms in an answer.
const MOST: usize = 5000;

/// One condition (ISUPPORT ELIST=CMNTU).
enum Condition {
    Mask(Mask),
    NotMask(Mask),
    MoreUsers(usize),
    FewerUsers(usize),
    /// Made more than, less than so many minutes ago.
    Created(bool, i64),
    Topic(bool, i64),
}

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let words: Vec<&str> = m
        .text(0)
        .unwrap_or("")
        .split(',')
        .filter(|w| !w.is_empty())
        .collect();
    let named: Vec<&str> = words
        .iter()
        .copied()
        .filter(|w| w.starts_with('#') && !w.contains(['*', '?']))
        .collect();
    let conditions: Vec<Condition> = words
        .iter()
        .filter(|w| !named.contains(*w))
        .filter_map(|w| condition(w))
        .collect();
    s.numeric(Numeric::RPL_LISTSTART, &["Channel"], "Users  Name");
    let me = s.account();
    let all = s.me().oper;
    let rooms = if named.is_empty() {
        let read = s.server.node.read(move |node| {
            let mut out = Vec::new();
            let mut after = sammen_core::ConversationId(0);
            loop {
                let page = node.store().conversations(after, 500)?;
                let Some(last) = page.last() else { break };
                after = last.id;
                for conversation in page {
                    if conversation.room().is_none() || conversation.destroyed {
                        continue;
                    }
                    let Some(convo) = node.convo(conversation.id)? else {
                        continue;
                    };
                    let visible = convo.conversation.settings.listed || all || convo.has(&me);
                    if visible && out.len() < MOST {
                        out.push(convo);
                    }
                }
            }
            Ok(out)
        });
        read.await.unwrap_or_default()
    } else {
        named.iter().filter_map(|n| s.visible_room(n)).collect()
    };
    let now = s.server.node.now();
    for convo in rooms {
        one(s, &convo, &conditions, now);
    }
    s.numeric(Numeric::RPL_LISTEND, &[], "End of /LIST");
}

fn condition(word: &str) -> Option<Condition> {
    let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 0);
    if let Some(rest) = word.strip_prefix('>') {
        return usize::try_from(number(rest)?)
            .ok()
            .map(Condition::MoreUsers);
    }
    if let Some(rest) = word.strip_prefix('<') {
        return usize::try_from(number(rest)?)
            .ok()
            .map(Condition::FewerUsers);
    }
    for (prefix, kind) in [('C', true), ('T', false)] {
        if let Some(rest) = word.strip_prefix(prefix)
            && let Some(older) = rest.chars().next().filter(|c| matches!(c, '<' | '>'))
            && let Some(minutes) = rest.get(1..).and_then(number)
        {
            let before = older == '>';
            return Some(if kind {
                Condition::Created(before, minutes)
            } else {
                Condition::Topic(before, minutes)
            });
        }
    }
    Some(match word.strip_prefix('!') {
        Some(mask) => Condition::NotMask(Mask::new(mask)),
        None => Condition::Mask(Mask::new(word)),
    })
}

fn one(s: &mut Session, convo: &Arc<Convo>, conditions: &[Condition], now: Timestamp) {
    let Some(room) = convo.conversation.room() else {
        return;
    };
    let channel = s.server.names.channel(room);
    let users = convo.joined().count();
    let settings = &convo.conversation.settings;
    let age = |at: Timestamp| (now.0 - at.0) / 60_000;
    let fits = conditions.iter().all(|c| match c {
        Condition::Mask(mask) => mask.matches(&channel),
        Condition::NotMask(mask) => !mask.matches(&channel),
        Condition::MoreUsers(n) => users > *n,
        Condition::FewerUsers(n) => users < *n,
        Condition::Created(older, minutes) => {
            (age(convo.conversation.created) > *minutes) == *older
        }
        Condition::Topic(older, minutes) => settings
            .topic_by
            .as_ref()
            .is_some_and(|(_, at)| (age(*at) > *minutes) == *older),
    });
    if fits {
        let topic = settings
            .topic
            .as_deref()
            .or(settings.name.as_deref())
            .unwrap_or("");
        let topic = one_line(topic);
        s.numeric(Numeric::RPL_LIST, &[&channel, &users.to_string()], &topic);
    }
}
