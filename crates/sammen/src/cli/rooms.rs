//! `sammen room`.

use clap::Subcommand;

use crate::admin::{self, Request};

/// Rooms and their settings.
#[derive(Subcommand)]
pub enum Room {
    /// All rooms.
    List,
    /// Makes a room.
    Create {
        /// The name: town.
        name: String,
        /// The account that owns it.
        #[arg(long, value_name = "ACCOUNT")]
        owner: Option<String>,
        /// Settings.
        #[arg(value_name = "KEY=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// Shows a room's settings and members, and changes what is given.
    #[command(after_help = format!("Settings: {}", admin::ROOM_SETTINGS))]
    Settings {
        /// Which.
        name: String,
        /// What to change.
        #[arg(value_name = "KEY=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// Gives an account a standing: owner, admin, member, none, outcast.
    Standing {
        /// Which room.
        name: String,
        /// Whom.
        account: String,
        /// What.
        standing: String,
    },
    /// Gives a room another address; the old one leads to it.
    Rename {
        /// Which.
        name: String,
        /// The new name: village.
        to: String,
        /// Why; those in it read that.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Destroys a room.
    Destroy {
        /// Which.
        name: String,
        /// Why; those in it read that.
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Room {
    /// What the node is asked for.
    pub fn into_request(self) -> Request {
        match self {
            Room::List => Request::RoomList,
            Room::Create {
                name,
                owner,
                settings,
            } => Request::RoomCreate {
                name,
                owner,
                settings,
            },
            Room::Settings { name, settings } => Request::RoomSettings { name, settings },
            Room::Standing {
                name,
                account,
                standing,
            } => Request::RoomStanding {
                name,
                account,
                standing,
            },
            Room::Rename { name, to, reason } => Request::RoomRename { name, to, reason },
            Room::Destroy { name, reason } => Request::RoomDestroy { name, reason },
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}
