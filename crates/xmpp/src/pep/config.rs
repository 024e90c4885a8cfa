//! The configuration of a node (XEP-0060 §16.4.4): defaults, form, and publish-options as preconditions (§7.1.5).

use serde::{Deserialize, Serialize};

use super::errors;
use super::form::{self, Form, boolean, choice, field};
use crate::wire::{Element, StanzaError, ns};

/// Items that a node keeps at most, whatever its configuration says; what `max_items=max` means.
pub const MOST_ITEMS: u32 = 4096;

/// Who may read a node (XEP-0060 §4.5). The owner always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are XEP-0060's")]
pub enum Access {
    Open,
    #[default]
    Presence,
    Roster,
    /// Whoever the owner let subscribe (§8.6).
    Authorize,
    Whitelist,
}

/// Who may publish (XEP-0060 §16.4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are XEP-0060's")]
pub enum PublishModel {
    #[default]
    Publishers,
    Subscribers,
    Open,
}

/// When the last item is sent without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are XEP-0060's")]
pub enum SendLast {
    Never,
    OnSub,
    #[default]
    OnSubAndPresence,
}

/// Whom the `publisher` attribute of an item names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are XEP-0060's")]
pub enum ItemReply {
    #[default]
    Owner,
    Publisher,
}

macro_rules! names {
    ($kind:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $kind {
            const NAMES: &'static [&'static str] = &[$($name),*];
            /// The name in forms.
            pub fn name(self) -> &'static str {
                match self { $($kind::$variant => $name),* }
            }
            fn read(text: &str) -> Option<Self> {
                match text { $($name => Some($kind::$variant),)* _ => None }
            }
        }
    };
}

names!(Access { Open = "open", Presence = "presence", Roster = "roster", Authorize = "authorize", Whitelist = "whitelist" });
names!(PublishModel { Publishers = "publishers", Subscribers = "subscribers", Open = "open" });
names!(SendLast { Never = "never", OnSub = "on_sub", OnSubAndPresence = "on_sub_and_presence" });
names!(ItemReply { Owner = "owner", Publisher = "publisher" });

/// How a node behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// For people.
    pub title: Option<String>,
    /// For people, longer.
    pub description: Option<String>,
    /// Namespace of the payloads; empty for any.
    pub payload_type: Option<String>,
    /// Who may read.
    pub access: Access,
    /// Groups of the owner's roster, for [`Access::Roster`].
    pub groups: Vec<String>,
    /// Who may publish.
    pub publish: PublishModel,
    /// Items stay after they were sent.
    pub persist: bool,
    /// How many stay.
    pub max_items: u32,
    /// When the last one is sent unasked.
    pub send_last: SendLast,
    /// Publications are announced.
    pub deliver_notifications: bool,
    /// With what was published.
    pub deliver_payloads: bool,
    /// Changes of this configuration are announced.
    pub notify_config: bool,
    /// Deletion of the node is announced.
    pub notify_delete: bool,
    /// Retraction of items is announced, also where the request does not ask for it.
    pub notify_retract: bool,
    /// `type='headline'` (else `normal`).
    pub headline: bool,
    /// Whom items name as publisher.
    pub item_reply: ItemReply,
}

impl Default for NodeConfig {
    /// XEP-0163 §5: presence access, the last item stays and is sent.
    fn default() -> Self {
        Self {
            title: None,
            description: None,
            payload_type: None,
            access: Access::Presence,
            groups: Vec::new(),
            publish: PublishModel::Publishers,
            persist: true,
            max_items: 1,
            send_last: SendLast::OnSubAndPresence,
            deliver_notifications: true,
            deliver_payloads: true,
            notify_config: false,
            notify_delete: false,
            notify_retract: true,
            headline: true,
            item_reply: ItemReply::Owner,
        }
    }
}

impl NodeConfig {
    /// What a node of this name has when nothing else was asked for.
    pub fn for_node(node: &str) -> Self {
        let mut config = Self::default();
        match node {
            // XEP-0402 §3 and XEP-0490 §3: private, all items stay.
            ns::BOOKMARKS | ns::MDS => {
                config.access = Access::Whitelist;
                config.max_items = MOST_ITEMS;
                config.send_last = SendLast::Never;
            }
            ns::BOOKMARKS_OLD => config.access = Access::Whitelist,
            // XEP-0384 §5.3: whoever wants to write encrypted must be able to read the keys.
            node if is_omemo(node) => config.access = Access::Open,
            _ => {}
        }
        if node == OMEMO2_BUNDLES {
            config.max_items = MOST_ITEMS;
        }
        config
    }

    /// Applies a configuration form or publish-options to this configuration.
    ///
    /// # Errors
    /// For values that have no meaning, and access models that the node does not have.
    pub fn apply(&mut self, form: &Form) -> Result<(), StanzaError> {
        for (var, values) in form.fields() {
            let Some(name) = var.strip_prefix("pubsub#") else {
                continue;
            };
            let value = values.first().map_or("", |v| v.trim());
            let flag = || boolean(value).ok_or_else(errors::bad_option);
            let text = || (!value.is_empty()).then(|| cut(value));
            match name {
                "title" => self.title = text(),
                "description" => self.description = text(),
                "type" => self.payload_type = text(),
                "access_model" => {
                    self.access = Access::read(value).ok_or_else(errors::unsupported_access)?;
                }
                "roster_groups_allowed" => {
                    self.groups = values.iter().take(64).map(|g| cut(g)).collect();
                }
                "publish_model" => {
                    self.publish = PublishModel::read(value).ok_or_else(errors::bad_option)?;
                }
                "persist_items" => self.persist = flag()?,
                "max_items" => self.max_items = max_items(value)?,
                "send_last_published_item" => {
                    self.send_last = SendLast::read(value).ok_or_else(errors::bad_option)?;
                }
                "deliver_notifications" => self.deliver_notifications = flag()?,
                "deliver_payloads" => self.deliver_payloads = flag()?,
                "notify_config" => self.notify_config = flag()?,
                "notify_delete" => self.notify_delete = flag()?,
                "notify_retract" => self.notify_retract = flag()?,
                "notification_type" => {
                    self.headline = match value {
                        "headline" => true,
                        "normal" => false,
                        _ => return Err(errors::bad_option()),
                    }
                }
                "itemreply" => {
                    self.item_reply = ItemReply::read(value).ok_or_else(errors::bad_option)?;
                }
                // Fields of what this node does not do say nothing here.
                _ => {}
            }
        }
        Ok(())
    }

    /// XEP-0060 §7.1.5: whether a node with this configuration meets the preconditions.
    ///
    /// # Errors
    /// `precondition-not-met` where it does not.
    pub fn meets(&self, options: &Form) -> Result<(), StanzaError> {
        let mut wanted = self.clone();
        wanted.apply(options).map_err(|_| errors::precondition())?;
        if wanted == *self {
            Ok(())
        } else {
            Err(errors::precondition())
        }
    }

    /// The form that shows it; `kind` is `form`, or `result` for metadata.
    pub fn to_form(&self) -> Element {
        let flag = |var, on: bool| field(var, "boolean", &[if on { "1" } else { "0" }]);
        let text = |var, text: &Option<String>| {
            field(
                var,
                "text-single",
                &text.as_deref().map_or(vec![], |t| vec![t]),
            )
        };
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        form::form("form", ns::PUBSUB_NODE_CONFIG)
            .child(text("pubsub#title", &self.title))
            .child(text("pubsub#description", &self.description))
            .child(text("pubsub#type", &self.payload_type))
            .child(choice(
                "pubsub#access_model",
                "Who may read",
                self.access.name(),
                Access::NAMES,
            ))
            .child(field("pubsub#roster_groups_allowed", "list-multi", &groups))
            .child(choice(
                "pubsub#publish_model",
                "Who may publish",
                self.publish.name(),
                PublishModel::NAMES,
            ))
            .child(flag("pubsub#persist_items", self.persist))
            .child(field(
                "pubsub#max_items",
                "text-single",
                &[&self.max_items_text()],
            ))
            .child(choice(
                "pubsub#send_last_published_item",
                "When to send the last item",
                self.send_last.name(),
                SendLast::NAMES,
            ))
            .child(flag(
                "pubsub#deliver_notifications",
                self.deliver_notifications,
            ))
            .child(flag("pubsub#deliver_payloads", self.deliver_payloads))
            .child(flag("pubsub#notify_config", self.notify_config))
            .child(flag("pubsub#notify_delete", self.notify_delete))
            .child(flag("pubsub#notify_retract", self.notify_retract))
            .child(choice(
                "pubsub#notification_type",
                "Type of notifications",
                if self.headline { "headline" } else { "normal" },
                &["headline", "normal"],
            ))
            .child(choice(
                "pubsub#itemreply",
                "Whom items name",
                self.item_reply.name(),
                ItemReply::NAMES,
            ))
    }

    /// `max_items` as forms write it.
    pub fn max_items_text(&self) -> String {
        if self.max_items >= MOST_ITEMS {
            "max".into()
        } else {
            self.max_items.to_string()
        }
    }
}

/// The node of OMEMO 0.8 that holds a bundle for each device.
pub const OMEMO2_BUNDLES: &str = "urn:xmpp:omemo:2:bundles";

/// Whether the node holds keys that strangers have to be able to fetch.
pub fn is_omemo(node: &str) -> bool {
    let below = |ns: &str, mark: &str| {
        node.strip_prefix(ns)
            .is_some_and(|rest| rest.starts_with(mark))
    };
    below(ns::OMEMO, ".") || below(ns::OMEMO2, ":")
}

fn max_items(text: &str) -> Result<u32, StanzaError> {
    if text == "max" {
        return Ok(MOST_ITEMS);
    }
    let number: u64 = text.parse().map_err(|_| errors::bad_option())?;
    Ok(u32::try_from(number).map_or(MOST_ITEMS, |n| n.clamp(1, MOST_ITEMS)))
}

fn cut(text: &str) -> String {
    text.chars().take(256).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::Condition;

    fn options(fields: &[(&'static str, &str)]) -> Form {
        let x = fields.iter().fold(
            form::form("submit", ns::PUBSUB_PUBLISH_OPTIONS),
            |x, (var, v)| x.child(field(var, "text-single", &[v])),
        );
        Form::read(&x).unwrap()
    }

    #[test]
    fn publish_options_are_preconditions() {
        let open = options(&[("pubsub#access_model", "open"), ("pubsub#max_items", "max")]);
        let mut config = NodeConfig::default();
        let refused = config.meets(&open).unwrap_err();
        assert_eq!(refused.condition, Condition::Conflict);
        assert_eq!(refused.app.unwrap().name(), "precondition-not-met");
        config.apply(&open).unwrap();
        assert_eq!(config.meets(&open), Ok(()));
        assert_eq!(config.max_items_text(), "max");
        // 0402 asks for 10000: more than there is means as many as there are.
        assert_eq!(
            config.meets(&options(&[("pubsub#max_items", "10000")])),
            Ok(())
        );
        assert!(
            config
                .meets(&options(&[("pubsub#max_items", "1")]))
                .is_err()
        );
        assert!(
            config
                .meets(&options(&[("pubsub#access_model", "nonsense")]))
                .is_err()
        );
    }

    #[test]
    fn the_form_says_what_holds() {
        let mut config = NodeConfig::for_node(ns::BOOKMARKS);
        config.title = Some("Rooms".into());
        let mut read = NodeConfig::default();
        read.apply(&Form::read(&config.to_form()).unwrap()).unwrap();
        assert_eq!(read, config);
        assert_eq!(config.access, Access::Whitelist);
        assert!(
            read.apply(&options(&[("pubsub#persist_items", "perhaps")]))
                .is_err()
        );
    }

    #[test]
    fn keys_are_open_to_whoever_wants_to_write() {
        for node in [
            "eu.siacs.conversations.axolotl.devicelist",
            "eu.siacs.conversations.axolotl.bundles:12",
            "urn:xmpp:omemo:2:devices",
            "urn:xmpp:omemo:2:bundles",
        ] {
            assert_eq!(NodeConfig::for_node(node).access, Access::Open, "{node}");
        }
        assert_eq!(
            NodeConfig::for_node("eu.siacs.conversations.axolotlx").access,
            Access::Presence
        );
    }
}
