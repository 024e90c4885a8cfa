//! `sammen invite`.

use clap::Args;

use crate::admin::{Request, invitations};

/// Makes, lists and takes back invitations.
#[derive(Args)]
pub struct Invite {
    /// Whose contact they become.
    #[arg(long, value_name = "ACCOUNT")]
    from: Option<String>,
    /// For people who have an account somewhere: none can be made with it.
    #[arg(long, requires = "from", conflicts_with = "name")]
    contact: bool,
    /// The only name that the account can have; nobody else gets it meanwhile.
    #[arg(long)]
    name: Option<String>,
    /// A room that they come into; may be said more than once.
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,
    /// For so many people; 0 for any number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// For so many days; 0 for good.
    #[arg(long, value_name = "N", default_value_t = 7)]
    days: u32,
    /// What to call it in the list.
    #[arg(long)]
    label: Option<String>,
    /// List the invitations that hold.
    #[arg(long, conflicts_with_all = ["from", "contact", "name", "rooms", "label", "revoke"])]
    list: bool,
    /// Take one back.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "contact", "name", "rooms", "label"])]
    revoke: Option<String>,
}

impl Invite {
    /// What the node is asked for.
    pub fn into_request(self) -> Request {
        if self.list {
            return Request::InvitationList;
        }
        if let Some(id) = self.revoke {
            return Request::InvitationRevoke { id };
        }
        Request::Invite {
            wish: invitations::Wish {
                inviter: self.from,
                contact_only: self.contact,
                name: self.name,
                rooms: self.rooms,
                uses: self.uses,
                days: self.days,
                label: self.label,
            },
        }
    }
}
