//! What an account lets others know, and how long its direct conversations stay.

use sammen_core::ops;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Admin;

/// What shall change; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Delivery and read receipts are sent.
    pub receipts: Option<bool>,
    /// Typing is shown.
    pub typing: Option<bool>,
    /// When last seen is told.
    pub last_seen: Option<bool>,
    /// Days that direct conversations stay; 0 as the node says.
    pub retention: Option<u32>,
}

impl Wishes {
    fn change_something(&self) -> bool {
        *self != Self::default()
    }
}

/// `on`, `off`.
///
/// # Errors
/// When it is neither.
pub fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// A number of days, or `none` (as 0).
///
/// # Errors
/// When it is neither.
pub fn days(text: &str) -> Result<u32, String> {
    match text {
        "none" => Ok(0),
        _ => match text.parse() {
            Ok(days) if days > 0 => Ok(days),
            _ => Err("write a number of days, or none".to_owned()),
        },
    }
}

impl Admin {
    /// Sets what is wished, and tells how it stands then.
    pub(super) async fn account_settings(
        &self,
        name: &str,
        wishes: Wishes,
    ) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        if wishes.change_something() {
            let of = address.clone();
            self.node
                .write(move |tx| {
                    ops::accounts::change(tx, &of, |account| {
                        let switches = &mut account.switches;
                        for (switch, wish) in [
                            (&mut switches.receipts, wishes.receipts),
                            (&mut switches.typing, wishes.typing),
                            (&mut switches.last_seen, wishes.last_seen),
                        ] {
                            *switch = wish.unwrap_or(*switch);
                        }
                        if let Some(days) = wishes.retention {
                            account.retention_days = Some(days).filter(|days| *days > 0);
                        }
                    })
                })
                .await?;
        }
        let account = self.node.account(&address)?;
        let account = account.ok_or_else(|| anyhow::anyhow!("there is no account {address}"))?;
        let word = |on: bool| if on { "on" } else { "off" };
        Ok(json!({
            "name": address.name(),
            "receipts": word(account.switches.receipts),
            "typing": word(account.switches.typing),
            "last_seen": word(account.switches.last_seen),
            "retention": account.retention_days.map_or_else(|| "none".to_owned(), |d| d.to_string()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        assert_eq!(on_or_off("on"), Ok(true));
        assert!(on_or_off("yes").is_err());
        assert_eq!(days("none"), Ok(0));
        assert_eq!(days("30"), Ok(30));
        for wrong in ["0", "-1", "x", ""] {
            assert!(days(wrong).is_err(), "{wrong:?}");
        }
    }
}
