//! Reading items (XEP-0060 §6.5): all, some by id, the newest, or page by page (XEP-0059).

use sammen_core::{Address, Domain, Node};

use super::access::may_read;
use super::config::NodeConfig;
use super::notify::item_element;
use super::shelf::{self, Item, NodeRecord};
use super::{errors, is_made, mds};
use crate::bookmarks;
use crate::wire::{Element, StanzaError, ns};

/// Bytes of items in one answer; what does not fit is reached by paging.
const MOST_BYTES: usize = 1 << 20;

/// What somebody wants to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These alone.
    pub ids: Vec<String>,
    /// Only the newest ones.
    pub newest: Option<usize>,
    /// One page.
    pub page: Option<Page>,
}

/// One page (XEP-0059).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Most items; 0 asks for the count alone.
    pub max: Option<usize>,
    /// Behind this item.
    pub after: Option<String>,
    /// Before this item; empty for the last page.
    pub before: Option<String>,
}

impl Page {
    /// Reads `<set/>`.
    pub fn read(set: &Element) -> Self {
        let text = |name| set.find_text(name, ns::RSM).map(|t| t.trim().to_owned());
        Self {
            max: text("max").and_then(|t| t.parse().ok()),
            after: text("after").filter(|t| !t.is_empty()),
            before: text("before"),
        }
    }
}

/// Reads items as `<items/>`, with `<set/>` where the answer is a page.
///
/// # Errors
/// XEP-0060 §6.5.9.
pub fn items(
    mut look: &Node,
    account: &Address,
    bare: &str,
    who: &Address,
    node: &str,
    wanted: &Wanted,
) -> Result<Vec<Element>, StanzaError> {
    let found = shelf::node(&mut look, account, node)?;
    let asker = shelf::asker(&mut look, account, found.as_ref(), who)?;
    let made = is_made(account, who, node);
    let record = match found {
        Some(record) => record,
        None if made => NodeRecord {
            config: NodeConfig::for_node(node),
            ..NodeRecord::default()
        },
        None => return Err(errors::not_found()),
    };
    may_read(&record.config, &asker)?;
    let all = match (made, look.domains().first()) {
        (true, Some(main)) => made_items(look, main, account, bare, node)?,
        _ if !wanted.ids.is_empty() && wanted.page.is_none() => {
            let mut some = Vec::new();
            for id in &wanted.ids {
                some.extend(shelf::item(&mut look, account, node, id)?);
            }
            some
        }
        _ => shelf::items(&mut look, account, node)?,
    };
    Ok(answer(&record, node, all, wanted))
}

fn made_items(
    mut look: &Node,
    main: &Domain,
    account: &Address,
    bare: &str,
    node: &str,
) -> Result<Vec<Item>, StanzaError> {
    Ok(match node {
        ns::BOOKMARKS => bookmarks::items(&mut look, main, account)?,
        ns::BOOKMARKS_OLD => {
            let list = bookmarks::old_list(&mut look, main, account)?;
            vec![bookmarks::old_item(bare, &list, look.last_seq())]
        }
        _ => {
            let made = mds::items(look, account, bare)?;
            let mut all = shelf::items(&mut look, account, node)?;
            all.retain(|i| !made.iter().any(|m| m.id == i.id));
            all.extend(made);
            all.sort_by_key(|i| i.version);
            all
        }
    })
}

fn answer(record: &NodeRecord, node: &str, all: Vec<Item>, wanted: &Wanted) -> Vec<Element> {
    let total = all.len();
    let mut list: Vec<Item> = all
        .into_iter()
        .filter(|i| wanted.ids.is_empty() || wanted.ids.contains(&i.id))
        .collect();
    if let Some(newest) = wanted.newest {
        list.drain(..list.len().saturating_sub(newest));
    }
    let counted = list.len();
    let mut start = 0;
    let mut from_end = false;
    if let Some(page) = &wanted.page {
        let at = |id: &str| list.iter().position(|i| i.id == id);
        if let Some(after) = &page.after {
            start = at(after).map_or(counted, |i| i + 1);
        }
        let mut end = counted;
        if let Some(before) = &page.before {
            from_end = true;
            if !before.is_empty() {
                end = at(before).unwrap_or(0);
            }
        }
        let max = page.max.unwrap_or(usize::MAX);
        if from_end {
            start = start.max(end.saturating_sub(max));
        } else {
            end = end.min(start.saturating_add(max));
        }
        list.truncate(end);
        list.drain(..start.min(list.len()));
    }
    let before_cut = list.len();
    fit(
        &mut list,
        from_end || wanted.newest.is_some() && wanted.page.is_none(),
    );
    if from_end {
        start += before_cut - list.len();
    }
    let items = list
        .iter()
        .map(|i| item_element(ns::PUBSUB, record, i, i.element().as_ref()));
    let items = Element::new(ns::PUBSUB, "items")
        .attr("node", node)
        .children(items);
    let mut out = vec![items];
    if wanted.page.is_some() || list.len() < before_cut {
        let count = if wanted.ids.is_empty() {
            total
        } else {
            counted
        };
        out.push(set(&list, start, count));
    }
    out
}

/// Leaves out what would make the answer too large, at the end that was not asked for.
fn fit(list: &mut Vec<Item>, keep_end: bool) {
    let mut room = MOST_BYTES;
    let mut fits = |i: &Item| {
        let size = i.payload.len() + i.id.len() + 64;
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    let count = if keep_end {
        list.iter().rev().take_while(|i| fits(i)).count()
    } else {
        list.iter().take_while(|i| fits(i)).count()
    };
    if keep_end {
        list.drain(..list.len() - count);
    } else {
        list.truncate(count);
    }
}

fn set(list: &[Item], start: usize, count: usize) -> Element {
    let text = |name: &'static str, text: &str| Element::new(ns::RSM, name).text(text);
    let first = list
        .first()
        .map(|i| text("first", &i.id).attr("index", start.to_string()));
    let last = list.last().map(|i| text("last", &i.id));
    Element::new(ns::RSM, "set")
        .children(first)
        .children(last)
        .child(text("count", &count.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sammen_core::ids::Seq;

    use super::*;

    fn list(n: u64) -> Vec<Item> {
        (0..n)
            .map(|i| Item {
                id: i.to_string(),
                publisher: String::new(),
                payload: shelf::payload_bytes(&Element::new("urn:x", "x")),
                version: Seq(i + 1),
            })
            .collect()
    }

    fn ids(wanted: &Wanted) -> (Vec<String>, Option<(Option<String>, String)>) {
        let out = answer(&NodeRecord::default(), "n", list(5), wanted);
        let ids = out[0]
            .elements()
            .map(|i| i.get("id").unwrap().to_owned())
            .collect();
        let set = out.get(1).map(|s| {
            let index = s
                .find("first", ns::RSM)
                .and_then(|f| f.get("index"))
                .map(str::to_owned);
            (index, s.find_text("count", ns::RSM).unwrap().into_owned())
        });
        (ids, set)
    }

    fn page(max: usize, after: Option<&str>, before: Option<&str>) -> Wanted {
        let page = Page {
            max: Some(max),
            after: after.map(str::to_owned),
            before: before.map(str::to_owned),
        };
        Wanted {
            page: Some(page),
            ..Wanted::default()
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let five = |i: &str| Some((Some(i.to_owned()), "5".to_owned()));
        assert_eq!(
            ids(&page(2, None, None)),
            (vec!["0".into(), "1".into()], five("0"))
        );
        assert_eq!(
            ids(&page(2, Some("1"), None)),
            (vec!["2".into(), "3".into()], five("2"))
        );
        assert_eq!(
            ids(&page(2, Some("3"), None)),
            (vec!["4".into()], five("4"))
        );
        assert_eq!(
            ids(&page(2, None, Some(""))),
            (vec!["3".into(), "4".into()], five("3"))
        );
        assert_eq!(
            ids(&page(2, None, Some("3"))),
            (vec!["1".into(), "2".into()], five("1"))
        );
        assert_eq!(
            ids(&page(0, None, None)),
            (vec![], Some((None, "5".to_owned())))
        );
    }

    #[test]
    fn the_newest_and_the_named_ones() {
        let newest = Wanted {
            newest: Some(2),
            ..Wanted::default()
        };
        assert_eq!(ids(&newest).0, ["3", "4"]);
        let named = Wanted {
            ids: vec!["4".into(), "1".into(), "9".into()],
            ..Wanted::default()
        };
        assert_eq!(ids(&named).0, ["1", "4"]);
    }

    #[test]
    fn an_answer_has_a_bound_and_says_so() {
        let mut many = list(40);
        for item in &mut many {
            item.payload = vec![b'x'; 100_000].into();
        }
        fit(&mut many, false);
        assert_eq!(many.len(), 10);
        assert_eq!(many[0].id, "0");
        let mut many = list(3);
        many[0].payload = vec![b'x'; MOST_BYTES].into();
        fit(&mut many, true);
        assert_eq!(many.len(), 2);
    }
}
