//! What an event refers to, and whether its author may refer to it in that way.

use super::*;

pub(super) fn relation_needs_target(content: &Content) -> bool {
    matches!(
        content,
        Content::Edit(_) | Content::Retraction { .. } | Content::Reaction { .. }
    )
}

/// Finds what something refers to, and whether the author may refer to it in that way.
pub(super) fn resolve(
    tx: &mut Tx<'_>,
    convo: &Convo,
    who: &Principal,
    author: &Address,
    out: &Outgoing,
) -> Outcome<Option<Relation>> {
    let Some(relation) = &out.relation else {
        return if relation_needs_target(&out.content) {
            Err(Refusal::Invalid("it refers to nothing"))
        } else {
            Ok(None)
        };
    };
    let mut relation = relation.clone();
    if relation.target.is_none()
        && let Some(foreign) = &relation.foreign
    {
        // An author's edits and retractions name the author's own message; others name anyone's.
        let own = matches!(relation.kind, RelationKind::Edit | RelationKind::Retraction)
            .then_some(author);
        let hit = tx.alias(convo.id(), foreign.scheme, own, &foreign.id)?;
        if let Some(hit) = hit {
            let here = tx.events.values().find(|e| e.seq == hit.seq).map(|e| e.id);
            relation.target = match here {
                Some(id) => Some(id),
                None => tx.store.event(hit.seq)?.map(|e| e.id),
            };
        }
    }
    let target = match relation.target {
        Some(id) => tx.event(id)?.filter(|e| e.conversation == convo.id()),
        None => None,
    };
    let Some(mut target) = target else {
        if relation.target.is_some() {
            return Err(Refusal::NotFound);
        }
        // It may come later; what a stranger could only guess at is not worth waiting for.
        return match out.content {
            Content::Retraction { .. } => Err(Refusal::NotFound),
            _ => Ok(Some(relation)),
        };
    };
    if !target
        .audience
        .as_ref()
        .is_none_or(|a| a.contains(author) || target.author == *author)
        || !convo.sees(author, target.pos)
    {
        return Err(Refusal::NotFound);
    }
    // Edits point to the first version.
    if matches!(target.content, Content::Edit(_))
        && let Some(first) = target.target()
        && let Some(event) = tx.event(first)?
    {
        target = event;
    }
    relation.target = Some(target.id);
    match out.content {
        Content::Edit(_) if target.author != *author => Err(Refusal::OtherAuthor),
        // Nothing is left to change or to take away; and what erases has to do so, since it goes on on a full disk.
        Content::Edit(_) | Content::Retraction { .. }
            if matches!(target.content, Content::Erased { .. }) =>
        {
            Err(Refusal::NotFound)
        }
        Content::Retraction { .. } => {
            permission::may_retract(convo, who, &target.author).map(|()| Some(relation))
        }
        _ => Ok(Some(relation)),
    }
}
