//! Who may do what at a node (XEP-0060 §4.1, §4.5): decided from facts, without looking anything up.

use serde::{Deserialize, Serialize};

use super::config::{Access, NodeConfig, PublishModel};
use super::errors;
use crate::wire::StanzaError;

/// How the owner ranks somebody at one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are XEP-0060's")]
pub enum Affiliation {
    Outcast,
    #[default]
    None,
    Member,
    PublishOnly,
    Publisher,
    Owner,
}

impl Affiliation {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::PublishOnly => "publish-only",
            Affiliation::Publisher => "publisher",
            Affiliation::Owner => "owner",
        }
    }

    /// Reads the name.
    pub fn read(text: &str) -> Option<Self> {
        use Affiliation as A;
        let all = [
            A::Outcast,
            A::None,
            A::Member,
            A::PublishOnly,
            A::Publisher,
            A::Owner,
        ];
        all.into_iter().find(|a| a.name() == text)
    }
}

/// Who asks, as the owner of the node sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The account itself.
    pub owner: bool,
    /// At this node.
    pub affiliation: Affiliation,
    /// Sees the owner's presence.
    pub sees: bool,
    /// Groups of the owner's roster in which they are.
    pub groups: Vec<String>,
    /// Has a subscription to the node that does not wait for its owner.
    pub subscribed: bool,
}

/// Whether somebody may read items and be told of new ones.
///
/// # Errors
/// XEP-0060 §6.5.9.
pub fn may_read(config: &NodeConfig, asker: &Asker) -> Result<(), StanzaError> {
    if asker.owner || asker.affiliation == Affiliation::Owner {
        return Ok(());
    }
    match asker.affiliation {
        Affiliation::Outcast | Affiliation::PublishOnly => return Err(errors::forbidden()),
        Affiliation::Member | Affiliation::Publisher => return Ok(()),
        Affiliation::None | Affiliation::Owner => {}
    }
    match config.access {
        Access::Open => Ok(()),
        Access::Presence if asker.sees => Ok(()),
        Access::Presence => Err(errors::presence_required()),
        Access::Roster if asker.groups.iter().any(|g| config.groups.contains(g)) => Ok(()),
        Access::Roster => Err(errors::not_in_group()),
        Access::Authorize if asker.subscribed => Ok(()),
        Access::Authorize => Err(errors::not_authorized()),
        Access::Whitelist => Err(errors::closed_node()),
    }
}

/// Whether somebody may publish.
///
/// # Errors
/// `forbidden` (XEP-0060 §7.1.3.1).
pub fn may_publish(config: &NodeConfig, asker: &Asker) -> Result<(), StanzaError> {
    let may = asker.owner
        || asker.affiliation >= Affiliation::PublishOnly
        || asker.affiliation != Affiliation::Outcast
            && match config.publish {
                PublishModel::Publishers => false,
                PublishModel::Subscribers => asker.subscribed,
                PublishModel::Open => may_read(config, asker).is_ok(),
            };
    if may {
        Ok(())
    } else {
        Err(errors::forbidden())
    }
}

/// Whether somebody may retract an item that `publisher` published.
///
/// # Errors
/// `forbidden` (XEP-0060 §7.2.3.1).
pub fn may_retract(asker: &Asker, own: bool) -> Result<(), StanzaError> {
    let may = asker.owner
        || asker.affiliation >= Affiliation::Publisher
        || own && asker.affiliation > Affiliation::Outcast;
    if may {
        Ok(())
    } else {
        Err(errors::forbidden())
    }
}

/// Whether somebody may configure, purge or delete the node.
///
/// # Errors
/// `forbidden`.
pub fn may_rule(asker: &Asker) -> Result<(), StanzaError> {
    if asker.owner || asker.affiliation == Affiliation::Owner {
        Ok(())
    } else {
        Err(errors::forbidden())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_model_lets_in_whom_it_says() {
        let owner = Asker {
            owner: true,
            ..Asker::default()
        };
        let stranger = Asker::default();
        let contact = Asker {
            sees: true,
            groups: vec!["Family".into()],
            ..Asker::default()
        };
        let friend = Asker {
            sees: true,
            groups: vec!["Friends".into()],
            ..Asker::default()
        };
        let member = Asker {
            affiliation: Affiliation::Member,
            ..Asker::default()
        };
        let outcast = Asker {
            affiliation: Affiliation::Outcast,
            sees: true,
            ..Asker::default()
        };
        let let_in = Asker {
            subscribed: true,
            ..Asker::default()
        };
        for (access, who) in [
            (Access::Open, [true, true, true, true, true, false, true]),
            (
                Access::Presence,
                [true, false, true, true, true, false, false],
            ),
            (
                Access::Roster,
                [true, false, true, false, true, false, false],
            ),
            (
                Access::Authorize,
                [true, false, false, false, true, false, true],
            ),
            (
                Access::Whitelist,
                [true, false, false, false, true, false, false],
            ),
        ] {
            let config = NodeConfig {
                access,
                groups: vec!["Family".into()],
                ..NodeConfig::default()
            };
            let people = [
                &owner, &stranger, &contact, &friend, &member, &outcast, &let_in,
            ];
            assert_eq!(
                people.map(|p| may_read(&config, p).is_ok()),
                who,
                "{access:?}"
            );
            assert_eq!(
                people.map(|p| may_publish(&config, p).is_ok()),
                [true, false, false, false, false, false, false]
            );
        }
    }

    #[test]
    fn an_open_node_takes_what_its_readers_write_and_they_take_it_back() {
        let config = NodeConfig {
            publish: PublishModel::Open,
            ..NodeConfig::default()
        };
        let contact = Asker {
            sees: true,
            ..Asker::default()
        };
        assert!(may_publish(&config, &contact).is_ok());
        assert!(may_publish(&config, &Asker::default()).is_err());
        assert!(may_retract(&contact, true).is_ok());
        assert!(may_retract(&contact, false).is_err());
        assert!(may_rule(&contact).is_err());
    }
}
