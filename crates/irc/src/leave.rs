//! Timers and the end of a session: asking whether the client is there, keeping the cursor, signing out.

use sammen_core::{Seq, ops};

use crate::session::Session;

/// Milliseconds between two writings of the cursor.
const SAVE: i64 = 15_000;

impl Session {
    /// Something came from the client.
    pub fn heard(&mut self) {
        self.registration.heard = self.server.node.now();
        self.registration.asked = false;
    }

    /// Looks at the timers.
    pub async fn tick(&mut self) {
        self.refresh();
        let config = self.told.clone();
        let now = self.server.node.now();
        let ms = |seconds: u64| i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        if self.me.is_none() {
            if now.0 - self.registration.since.0 > ms(config.registration_seconds) {
                self.close("registration took too long");
            }
            return;
        }
        let silent = now.0 - self.registration.heard.0;
        if silent > ms(config.ping_seconds).saturating_mul(2) {
            return self.close("ping timeout");
        }
        if silent > ms(config.ping_seconds) && !self.registration.asked {
            self.registration.asked = true;
            let line = crate::wire::Line::new("")
                .cmd("PING")
                .trailing(self.server.name.clone());
            self.emit_line(line);
        }
        if now.0 - self.registration.saved.0 > SAVE {
            self.registration.saved = now;
            self.save().await;
        }
    }

    /// Writes down up to where the device has had everything.
    async fn save(&mut self) {
        let Some(me) = &mut self.me else { return };
        if me.cursor <= me.saved || me.account.is_guest() {
            return;
        }
        let (id, cursor): (_, Seq) = (me.device.id, me.cursor);
        me.saved = cursor;
        let written = self.server.node.write(move |tx| {
            ops::sessions::progress(tx, id, Some(cursor), None);
            Ok(())
        });
        if let Err(refusal) = written.await {
            tracing::warn!(
                protocol = "irc",
                "a device's place was not stored: {refusal}"
            );
        }
    }

    /// Ends the signed-in half. Memberships stay.
    pub async fn leave(&mut self) {
        self.save().await;
        crate::commands::monitor::clear(self);
        let Some(me) = self.me.take() else { return };
        let node = self.server.node.clone();
        if me.account.is_guest() {
            // Nobody could come back to these memberships.
            let (guest, rooms) = (
                me.account.clone(),
                me.rooms.keys().copied().collect::<Vec<_>>(),
            );
            let left = node.write(move |tx| {
                for room in rooms {
                    // One that was left meanwhile is none.
                    let origin = sammen_core::principal::Origin::default();
                    let _ = ops::rooms::leave(tx, &guest, room, None, &origin);
                }
                Ok(())
            });
            if let Err(refusal) = left.await {
                tracing::warn!(protocol = "irc", "a guest could not leave: {refusal}");
            }
        }
        if let Err(refusal) = node.sign_out(&me.session).await {
            tracing::warn!(protocol = "irc", "signing out failed: {refusal}");
        }
        if self.server.presence(&me.account).is_none() {
            let name = self.server.realname(&me.account);
            self.server.note_gone(me.account, name);
        }
    }
}
