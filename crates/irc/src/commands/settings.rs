//! `settings` of `*sammen`: what the own account lets others know, and how long its direct conversations stay.

use sammen_core::{Account, ops};

use crate::session::Session;

const HELP: &str =
    "settings; settings receipts|typing|last-seen on|off; settings retention days|none";
/// Longer than anybody's archive, and far from what a date can hold.
const DAYS: u32 = 36_500;

/// Does what the words behind `settings` say; the answer is for people.
pub(crate) async fn run(s: &mut Session, words: &[&str]) -> String {
    let me = s.account();
    let change = match words {
        [] => {
            return match s.server.node.account(&me) {
                Ok(Some(account)) => tell(&account),
                _ => "Your settings can't be read now".to_owned(),
            };
        }
        [what, how] => change(&what.to_ascii_lowercase(), &how.to_ascii_lowercase()),
        _ => None,
    };
    let Some(change) = change else {
        return HELP.to_owned();
    };
    let written = s
        .server
        .node
        .write(move |tx| ops::accounts::change(tx, &me, change));
    match written.await {
        Ok(account) => tell(&account),
        Err(refusal) => format!("Not done: {refusal}"),
    }
}

type Change = Box<dyn FnOnce(&mut Account) + Send>;

fn change(what: &str, how: &str) -> Option<Change> {
    if what == "retention" {
        let days = match how {
            "none" => None,
            days => Some(days.parse().ok().filter(|d| (1..=DAYS).contains(d))?),
        };
        return Some(Box::new(move |a| a.retention_days = days));
    }
    let on = match how {
        "on" => true,
        "off" => false,
        _ => return None,
    };
    Some(match what {
        "receipts" => Box::new(move |a| a.switches.receipts = on),
        "typing" => Box::new(move |a| a.switches.typing = on),
        "last-seen" | "last_seen" => Box::new(move |a| a.switches.last_seen = on),
        _ => return None,
    })
}

fn tell(account: &Account) -> String {
    let word = |on: bool| if on { "on" } else { "off" };
    let switches = &account.switches;
    let stay = match account.retention_days {
        Some(days) => format!("{days} days"),
        None => "none".to_owned(),
    };
    format!(
        "receipts {}; typing {}; last-seen {}; retention {stay}",
        word(switches.receipts),
        word(switches.typing),
        word(switches.last_seen),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sentences_change_anything() {
        for (what, how) in [
            ("retention", "0"),
            ("retention", "40000"),
            ("retention", "on"),
            ("typing", "maybe"),
            ("admin", "on"),
        ] {
            assert!(change(what, how).is_none(), "{what} {how}");
        }
        assert!(change("retention", "none").is_some());
    }
}
