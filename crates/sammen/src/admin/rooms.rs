//! Rooms, for the operator.

use anyhow::{Context, bail};
use sammen_core::conversation::{Binding, JoinRule, Visibility};
use sammen_core::ops::rooms;
use sammen_core::principal::Origin;
use sammen_core::{Address, Convo, Name, Principal, RoomName, Settings, Standing};
use serde_json::{Value, json};

use super::Admin;

/// The settings that `sammen room settings` knows, for the help text.
pub const KEYS: &str = "name, description, topic, listed, persistent, moderated, join (open, members, knock), \
history (joined, shared, world), password, topic_open, invites_open, addresses_open, max_members, retention_days, \
encryption (none, OMEMO)";

impl Admin {
    fn room(&self, name: &str) -> anyhow::Result<Address> {
        let bare = name.trim_start_matches('#');
        let bare = bare.split('@').next().unwrap_or(bare);
        let name = RoomName::new(bare).with_context(|| format!("{name:?} is no room's name"))?;
        Ok(Address::room(self.domain()?, &name))
    }

    async fn known_room(&self, name: &str) -> anyhow::Result<std::sync::Arc<Convo>> {
        let address = self.room(name)?;
        let find = move |node: &sammen_core::Node| match node.room(&address)? {
            None => node.renamed(&address, &Principal::Node),
            found => Ok(found),
        };
        let found = self.node.read(find).await?;
        found.with_context(|| format!("there is no room {name}"))
    }

    pub(super) async fn room_list(&self) -> anyhow::Result<Value> {
        let all = self
            .node
            .read(|node| {
                let mut list = Vec::new();
                let mut after = sammen_core::ConversationId(0);
                loop {
                    let page = node.store().conversations(after, 500)?;
                    let Some(last) = page.last() else { break };
                    after = last.id;
                    for one in page.iter().filter(|c| c.room().is_some() && !c.destroyed) {
                        list.extend(node.convo(one.id)?);
                    }
                }
                Ok(list)
            })
            .await?;
        let list = all.iter().map(|convo| {
            let settings = &convo.conversation.settings;
            json!({
                "name": room_name(convo),
                "title": settings.name,
                "members": convo.joined().count(),
                "listed": settings.listed,
                "encryption": encryption(settings),
            })
        });
        Ok(list.collect::<Vec<_>>().into())
    }

    pub(super) async fn room_create(
        &self,
        name: &str,
        owner: Option<&str>,
        pairs: Vec<(String, String)>,
    ) -> anyhow::Result<Value> {
        let address = self.room(name)?;
        let mut settings = Settings::default();
        let topic = apply(&mut settings, pairs)?;
        let owner = match owner {
            Some(owner) => {
                let owner = Address::account(self.domain()?, &Name::new(owner)?);
                if self.node.account(&owner)?.is_none() {
                    bail!("there is no account {owner}");
                }
                Some(owner)
            }
            None => None,
        };
        self.node
            .write(move |tx| {
                let origin = Origin::default();
                let node = &Principal::Node;
                let made = rooms::create(tx, node, &address, settings, None, &origin)?;
                if let Some(owner) = owner {
                    let to = Standing::Owner;
                    rooms::set_standing(tx, node, made.id(), &owner, to, None, &origin)?;
                }
                if let Some(topic) = topic {
                    rooms::set_topic(tx, node, made.id(), &topic, None, &origin)?;
                }
                Ok(())
            })
            .await
            .with_context(|| format!("the room {name} was not made"))?;
        self.room_settings(name, Vec::new()).await
    }

    pub(super) async fn room_settings(
        &self,
        name: &str,
        pairs: Vec<(String, String)>,
    ) -> anyhow::Result<Value> {
        let convo = self.known_room(name).await?;
        if !pairs.is_empty() {
            let mut after = convo.conversation.settings.clone();
            let topic = apply(&mut after, pairs)?;
            let id = convo.id();
            self.node
                .write(move |tx| {
                    let origin = Origin::default();
                    let change = |settings: &mut Settings| {
                        *settings = after;
                        Ok(())
                    };
                    rooms::configure(tx, &Principal::Node, id, change, &origin)?;
                    if let Some(topic) = topic {
                        rooms::set_topic(tx, &Principal::Node, id, &topic, None, &origin)?;
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(shown(&*self.known_room(name).await?))
    }

    pub(super) async fn room_standing(
        &self,
        name: &str,
        account: &str,
        standing: &str,
    ) -> anyhow::Result<Value> {
        let convo = self.known_room(name).await?;
        let who = Address::account(self.domain()?, &Name::new(account)?);
        let to = match standing {
            "owner" => Standing::Owner,
            "admin" => Standing::Admin,
            "member" => Standing::Member,
            "none" => Standing::None,
            "outcast" => Standing::Outcast,
            other => bail!("{other:?} is no standing: owner, admin, member, none, outcast"),
        };
        if self.node.account(&who)?.is_none() {
            bail!("there is no account {who}");
        }
        self.node
            .write(move |tx| {
                let origin = Origin::default();
                rooms::set_standing(tx, &Principal::Node, convo.id(), &who, to, None, &origin)
            })
            .await?;
        Ok(shown(&*self.known_room(name).await?))
    }

    pub(super) async fn room_rename(
        &self,
        name: &str,
        to: &str,
        reason: Option<String>,
    ) -> anyhow::Result<Value> {
        let (convo, address) = (self.known_room(name).await?, self.room(to)?);
        self.node
            .write(move |tx| {
                let (node, origin) = (&Principal::Node, Origin::default());
                rooms::rename(tx, node, convo.id(), &address, reason, &origin)
            })
            .await
            .with_context(|| format!("{name} was not renamed {to}"))?;
        Ok(shown(&*self.known_room(to).await?))
    }

    pub(super) async fn room_destroy(
        &self,
        name: &str,
        reason: Option<String>,
    ) -> anyhow::Result<Value> {
        let convo = self.known_room(name).await?;
        let id = convo.id();
        self.node
            .write(move |tx| {
                let origin = Origin::default();
                rooms::destroy(tx, &Principal::Node, id, reason, None, &origin)
            })
            .await?;
        Ok(json!({ "name": room_name(&convo), "destroyed": true }))
    }
}

fn room_name(convo: &Convo) -> &str {
    convo.conversation.room().map_or("", Address::name)
}

fn encryption(settings: &Settings) -> &str {
    match &settings.binding {
        Binding::Unbound => "none",
        Binding::Bound(scheme) => scheme,
    }
}

fn shown(convo: &Convo) -> Value {
    let s = &convo.conversation.settings;
    let members = convo.members.values().map(|m| {
        json!({
            "address": m.address.as_str(),
            "nick": m.nick.as_deref(),
            "standing": format!("{:?}", m.standing).to_lowercase(),
            "joined": m.is_joined(),
        })
    });
    json!({
        "room": room_name(convo),
        "before": convo.conversation.former.iter().map(Address::name).collect::<Vec<_>>(),
        "name": s.name,
        "description": s.description,
        "topic": s.topic,
        "listed": s.listed,
        "persistent": s.persistent,
        "moderated": s.moderated,
        "join": match s.join_rule { JoinRule::Open => "open", JoinRule::Members => "members", JoinRule::Knock => "knock" },
        "history": match s.visibility { Visibility::Joined => "joined", Visibility::Shared => "shared", Visibility::World => "world" },
        "password": s.password.is_some(),
        "topic_open": s.topic_open,
        "invites_open": s.invites_open,
        "addresses_open": s.addresses_open,
        "max_members": s.max_members,
        "retention_days": s.retention_days,
        "encryption": encryption(s),
        "readers": sammen_core::readers::readers(convo).sentence(),
        "members": members.collect::<Vec<_>>(),
    })
}

/// Applies `key=value` pairs; the topic is not a setting and comes back.
fn apply(s: &mut Settings, pairs: Vec<(String, String)>) -> anyhow::Result<Option<String>> {
    let mut topic = None;
    for (key, value) in pairs {
        let yes = || match value.as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            other => bail!("{key} is true or false, not {other:?}"),
        };
        let number = || -> anyhow::Result<u32> {
            value
                .parse()
                .with_context(|| format!("{key} is a number, not {value:?}"))
        };
        let text = || Some(value.clone()).filter(|v| !v.is_empty());
        match key.as_str() {
            "name" => s.name = text(),
            "description" => s.description = text(),
            "topic" => topic = Some(value.clone()),
            "listed" => s.listed = yes()?,
            "persistent" => s.persistent = yes()?,
            "moderated" => s.moderated = yes()?,
            "topic_open" => s.topic_open = yes()?,
            "invites_open" => s.invites_open = yes()?,
            "addresses_open" => s.addresses_open = yes()?,
            "password" => s.password = text(),
            "max_members" => s.max_members = number()?,
            "retention_days" => s.retention_days = Some(number()?).filter(|days| *days > 0),
            "join" => {
                s.join_rule = match value.as_str() {
                    "open" => JoinRule::Open,
                    "members" => JoinRule::Members,
                    "knock" => JoinRule::Knock,
                    other => bail!("join is open, members or knock, not {other:?}"),
                }
            }
            "history" => {
                s.visibility = match value.as_str() {
                    "joined" => Visibility::Joined,
                    "shared" => Visibility::Shared,
                    "world" => Visibility::World,
                    other => bail!("history is joined, shared or world, not {other:?}"),
                }
            }
            "encryption" => {
                s.binding = match value.as_str() {
                    "none" => Binding::Unbound,
                    "OMEMO" => {
                        // DESIGN: a room bound to OMEMO is members-only and non-anonymous.
                        s.join_rule = JoinRule::Members;
                        s.addresses_open = true;
                        Binding::Bound("OMEMO".into())
                    }
                    other => bail!("encryption is none or OMEMO, not {other:?}"),
                }
            }
            _ => bail!("a room has no setting {key:?}; there are: {KEYS}"),
        }
    }
    Ok(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.into(), v.into()));
        text.split_whitespace().filter_map(pair).collect()
    }

    #[test]
    fn settings_are_set_by_word() {
        let mut s = Settings::default();
        let topic = apply(
            &mut s,
            pairs("listed=yes join=members topic=hi max_members=7"),
        )
        .unwrap();
        assert_eq!(topic.as_deref(), Some("hi"));
        assert!(s.listed && s.join_rule == JoinRule::Members && s.max_members == 7);
        apply(&mut s, pairs("encryption=OMEMO")).unwrap();
        assert!(s.addresses_open);
        for wrong in ["listed=maybe", "join=x", "max_members=x", "colour=red"] {
            assert!(apply(&mut s, pairs(wrong)).is_err(), "{wrong}");
        }
    }
}
