//! draft/channel-rename: a room's address is what XMPP and IRC both know it by, so it stays; its shown name changes
//! with METADATA.

use crate::session::Session;
use crate::wire::Message;
use crate::wire::standard::codes;

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let (old, new) = (m.text(0).unwrap_or("*"), m.text(1).unwrap_or("*"));
    let text = "Rooms keep their address here; their shown name can change: METADATA #room SET display-name";
    s.fail("RENAME", codes::CANNOT_RENAME, &[old, new], text);
}
