//! Reactions: core holds all of someone's at once, IRC tells of each that comes or goes.

use sammen_core::{Content, Convo, Event};

use super::out::{View, Writer};
use crate::server::Server;
use crate::wire::tags::names;

/// A reaction that came or went, for readers with message-tags; for others a short notice that one came.
pub fn render(
    server: &Server,
    event: &Event,
    convo: &Convo,
    about: Option<&Event>,
    change: &Reactions,
    view: View,
    batch: Option<&str>,
) -> Vec<u8> {
    let writer = Writer {
        server,
        event,
        convo,
        view,
        batch,
    };
    let mut out = Vec::new();
    if event.target().is_none() {
        return out;
    }
    if !view.tags() {
        let added: Vec<&str> = change.added.iter().map(String::as_str).collect();
        if !added.is_empty() {
            let to = about
                .map(|e| server.names.nick(&e.author))
                .unwrap_or_default();
            let quote = about.and_then(quote).unwrap_or_default();
            let text = format!("{} ← {to}{quote}", added.join(" "));
            let line = writer.line("NOTICE").trailing(text);
            line.write_with(&writer.tags(false), &mut out);
        }
        return out;
    }
    let all = change.added.iter().map(|k| (names::REACT, k));
    for (tag, key) in all.chain(change.removed.iter().map(|k| (names::UNREACT, k))) {
        let mut tags = writer.tags(true);
        tags.push(tag, key);
        writer.line("TAGMSG").write_with(&tags, &mut out);
    }
    out
}

/// The difference between someone's reactions before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reactions {
    /// New ones.
    pub added: Vec<String>,
    /// Withdrawn ones.
    pub removed: Vec<String>,
}

impl Reactions {
    /// From what it was to what it is.
    pub fn between(before: &[String], after: &[String]) -> Self {
        let not_in = |all: &[String], other: &[String]| -> Vec<String> {
            all.iter().filter(|k| !other.contains(k)).cloned().collect()
        };
        Self {
            added: not_in(after, before),
            removed: not_in(before, after),
        }
    }
}

/// The beginning of what a message says, in quotes behind a colon.
fn quote(event: &Event) -> Option<String> {
    let Content::Message(m) = &event.content else {
        return None;
    };
    let first = m.text.lines().next().filter(|l| !l.is_empty())?;
    let short: String = first.chars().take(40).collect();
    let dots = if short.len() < m.text.len() {
        "…"
    } else {
        ""
    };
    Some(format!(": “{short}{dots}”"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactions_are_told_as_differences() {
        let keys = |k: &[&str]| k.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let change = Reactions::between(&keys(&["👍", "❤"]), &keys(&["❤", "🎉"]));
        assert_eq!(change.added, keys(&["🎉"]));
        assert_eq!(change.removed, keys(&["👍"]));
    }
}
