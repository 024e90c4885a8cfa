//! BATCH from clients: draft/multiline.

use super::privmsg::{raw_tags, say};
use crate::multiline::{MOST, Open};
use crate::session::Session;
use crate::translate::inward::Verb;
use crate::wire::caps::Cap;
use crate::wire::multiline::{Joiner, MultilineError};
use crate::wire::standard::codes;
use crate::wire::tags::names;
use crate::wire::{Message, casemap};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let reference = m.text(0).unwrap_or("");
    if let Some(name) = reference.strip_prefix('+') {
        let multiline = m.text(1) == Some("draft/multiline") && s.has(Cap::Multiline);
        let target = m.text(2).filter(|t| !t.is_empty());
        let (true, Some(target)) = (multiline, target) else {
            let text = "Only draft/multiline batches are accepted";
            return s.fail("BATCH", codes::MULTILINE_INVALID, &[], text);
        };
        if s.batches.len() >= MOST || name.is_empty() || name.len() > 64 {
            let text = "Too many open batches";
            return s.fail("BATCH", codes::MULTILINE_INVALID, &[], text);
        }
        let config = s.server.config();
        let label = s.defer();
        let open = Open {
            target: target.to_owned(),
            joiner: Joiner::new(config.multiline_bytes, config.multiline_lines),
            verb: None,
            tags: raw_tags(m),
            label,
            lost: false,
        };
        s.batches.insert(name.to_owned(), open);
        return;
    }
    let name = reference.strip_prefix('-').unwrap_or("");
    let Some(open) = s.batches.remove(name) else {
        let text = "No such batch";
        return s.fail("BATCH", codes::MULTILINE_INVALID, &[], text);
    };
    // The label is the batch's, whatever becomes of it.
    s.answering(open.label);
    if open.lost {
        return;
    }
    match open.joiner.finish() {
        Ok(text) => {
            let verb = open.verb.unwrap_or(Verb::Privmsg);
            say(s, verb, &open.target, &text, &open.tags).await;
        }
        Err(error) => refuse(s, error),
    }
}

fn refuse(s: &mut Session, error: MultilineError) {
    let limit = match error {
        MultilineError::MaxBytes(n) | MultilineError::MaxLines(n) => Some(n.to_string()),
        MultilineError::Invalid => None,
    };
    let context: Vec<&str> = limit.as_deref().into_iter().collect();
    s.fail("BATCH", error.code(), &context, &error.to_string());
}

/// A line inside a batch.
pub(crate) fn line(
    s: &mut Session,
    reference: &str,
    verb: &str,
    target: &str,
    text: &str,
    m: &Message<'_>,
) {
    let concat = m.tag(names::MULTILINE_CONCAT).is_some();
    let verb = if verb == "NOTICE" {
        Verb::Notice
    } else {
        Verb::Privmsg
    };
    let Some(open) = s.batches.get_mut(reference) else {
        let text = "No such batch";
        return s.fail("BATCH", codes::MULTILINE_INVALID, &[], text);
    };
    if open.lost {
        return;
    }
    if !casemap::same(&open.target, target) {
        open.lost = true;
        let expected = open.target.clone();
        let text = "All lines of a batch have one target";
        return s.fail(
            "BATCH",
            codes::MULTILINE_INVALID_TARGET,
            &[&expected, target],
            text,
        );
    }
    if *open.verb.get_or_insert(verb) != verb {
        open.lost = true;
        let text = "All lines of a batch have one command";
        return s.fail("BATCH", codes::MULTILINE_INVALID, &[], text);
    }
    if let Err(error) = open.joiner.push(text, concat) {
        open.lost = true;
        refuse(s, error);
    }
}
