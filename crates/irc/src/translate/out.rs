//! Events as lines. What a reader's capabilities change is a [`View`]; readers with the same view share the bytes.

use bytes::Bytes;
use sammen_core::event::{MembershipAction, MessageKind, RoomChange};
use sammen_core::live::Announced;
use sammen_core::{Address, Content, Convo, Event, Message, Protocol};

use super::{html, inward};
use crate::server::Server;
use crate::wire::caps::{Cap, CapSet};
use crate::wire::tags::{Tags, names};
use crate::wire::{Line, TagBuf, format, multiline, time};

/// What of a reader's capabilities changes how events look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct View(u32);

impl View {
    const TIME: u32 = 1;
    const TAGS: u32 = 2;
    const ACCOUNT: u32 = 4;
    const MULTILINE: u32 = 8;
    const REDACT: u32 = 16;
    const EXTENDED_JOIN: u32 = 32;
    /// Messages of the past for readers without server-time: `[hh:mm]` before the text.
    const STAMP: u32 = 64;

    /// Of a session with these capabilities.
    pub fn of(caps: CapSet) -> Self {
        let bits = [
            (Cap::ServerTime, Self::TIME),
            (Cap::MessageTags, Self::TAGS),
            (Cap::AccountTag, Self::ACCOUNT),
            (Cap::MessageRedaction, Self::REDACT),
            (Cap::ExtendedJoin, Self::EXTENDED_JOIN),
        ];
        let mut view = 0;
        for (cap, bit) in bits {
            if caps.has(cap) {
                view |= bit;
            }
        }
        if caps.has(Cap::Multiline) && caps.has(Cap::Batch) {
            view |= Self::MULTILINE;
        }
        Self(view)
    }

    /// The same for messages of the past.
    pub fn past(self) -> Self {
        if self.has(Self::TIME) {
            self
        } else {
            Self(self.0 | Self::STAMP)
        }
    }

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// The same for a reader who ignores client-only tags.
    pub fn without_tags(self) -> Self {
        Self(self.0 & !Self::TAGS)
    }

    /// Whether the reader understands client-only tags.
    pub fn tags(self) -> bool {
        self.has(Self::TAGS)
    }
}

/// The lines of an event that was announced, made once for each view. Empty where the view shows nothing.
pub fn announced(server: &Server, a: &Announced, view: View) -> Bytes {
    let make = || {
        Bytes::from(event(
            server,
            &a.event,
            &a.convo,
            a.about.as_deref(),
            view,
            None,
        ))
    };
    (*a.form(Protocol::Irc, view.0, make)).clone()
}

/// The lines of an event; `batch` is the batch that they are part of.
pub fn event(
    server: &Server,
    event: &Event,
    convo: &Convo,
    about: Option<&Event>,
    view: View,
    batch: Option<&str>,
) -> Vec<u8> {
    let writer = Writer {
        server,
        event,
        convo,
        view,
        batch,
    };
    let mut out = Vec::with_capacity(256);
    match &event.content {
        Content::Message(message) => writer.message(message, false, &mut out),
        Content::Edit(message) => writer.message(message, true, &mut out),
        Content::Retraction { reason } => writer.retraction(reason.as_deref(), about, &mut out),
        Content::Membership(change) => writer.membership(change, &mut out),
        Content::Room(change) => writer.room(change, &mut out),
        Content::Encrypted { scheme, .. } => writer.encrypted(scheme, &mut out),
        Content::Other {
            fallback: Some(text),
        } => {
            writer.message(&Message::text(text.as_str()), false, &mut out);
        }
        Content::Other { fallback: None } => writer.only_tags(&mut out),
        Content::Reaction { .. } | Content::Marker(_) | Content::Erased { .. } => {}
    }
    out
}

/// Lines of one message as they were written. More would be a flood, and too much for a connection: who wants the rest
/// follows an address, and where the node has none to give, the rest comes with many lines in one.
const MOST_LINES: usize = 250;

/// One event on its way out.
pub(super) struct Writer<'a> {
    pub server: &'a Server,
    pub event: &'a Event,
    pub convo: &'a Convo,
    pub view: View,
    pub batch: Option<&'a str>,
}

impl Writer<'_> {
    /// Where it goes: the channel, or the other one of the pair as its author named it; and whether it is said to some
    /// in the room only.
    fn target(&self) -> String {
        let names = &self.server.names;
        let Some(room) = self.convo.conversation.room() else {
            let peer = self.convo.conversation.peer_of(&self.event.author);
            return names.nick(peer.unwrap_or(&self.event.author));
        };
        let channel = names.channel(room);
        match self.event.audience.as_deref() {
            None => channel,
            Some([one]) if !self.to_status() => names.nick(one),
            Some(_) => format!("@{channel}"),
        }
    }

    fn to_status(&self) -> bool {
        let native = self.event.native.as_ref();
        native.is_some_and(|n| {
            n.protocol == Protocol::Irc && n.kind.as_deref().is_some_and(|k| k.starts_with('@'))
        })
    }

    fn source(&self) -> String {
        self.server.names.mask(&self.event.author)
    }

    pub fn line(&self, command: &str) -> Line {
        Line::new(self.source()).cmd(command).param(self.target())
    }

    /// The tags of a line: `first` for those that name the message itself.
    pub fn tags(&self, first: bool) -> TagBuf {
        let mut tags = TagBuf::new();
        if let Some(batch) = self.batch {
            tags.push(names::BATCH, batch);
        }
        self.own_tags(first, &mut tags);
        tags
    }

    fn own_tags(&self, first: bool, tags: &mut TagBuf) {
        if self.view.has(View::TIME) {
            tags.push(names::TIME, time::format(self.event.at.0));
        }
        if self.view.has(View::TAGS) && first {
            tags.push(names::MSGID, self.event.id.encode());
        }
        if self.view.has(View::ACCOUNT)
            && let Some(account) = self.server.names.account(&self.event.author)
        {
            tags.push(names::ACCOUNT, account);
        }
        if self.view.has(View::TAGS) && first {
            let account = self.server.node.account(&self.event.author).ok().flatten();
            if account.is_some_and(|a| a.bot) {
                tags.push(names::BOT, "");
            }
            if let Some(target) = self.event.target() {
                tags.push(names::DRAFT_REPLY, target.encode());
                tags.push(names::REPLY, target.encode());
            }
            if self.event.audience.is_some()
                && !self.to_status()
                && let Some(room) = self.convo.conversation.room()
            {
                let channel = self.server.names.channel(room);
                tags.push(names::DRAFT_CHANNEL_CONTEXT, &channel);
                tags.push(names::CHANNEL_CONTEXT, &channel);
            }
            if let Some(native) = self.irc_native() {
                tags.relay(Tags::new(inward::read_native(native).0));
            }
        }
    }

    fn irc_native(&self) -> Option<&sammen_core::Native> {
        let native = self.event.native.as_ref();
        native.filter(|n| n.protocol == Protocol::Irc)
    }

    fn message(&self, message: &Message, edit: bool, out: &mut Vec<u8>) {
        let written = self.irc_native().and_then(|n| inward::read_native(n).1);
        let mut text = match (written, &message.html) {
            (Some(written), _) => written.to_owned(),
            (None, Some(html)) => html::to_codes(html),
            (None, None) => message.text.clone(),
        };
        if let Some(subject) = &message.subject {
            text = if text.is_empty() {
                format!("[{subject}]")
            } else {
                format!("[{subject}] {text}")
            };
        }
        for file in &message.attachments {
            if !text.contains(&file.url) {
                if !text.is_empty() {
                    text.push('\n');
                }
                match file.name.as_deref().filter(|n| !file.url.ends_with(*n)) {
                    Some(name) => text.push_str(&format!("{name}: {}", file.url)),
                    None => text.push_str(&file.url),
                }
            }
        }
        if text.contains('\x01') {
            // CTCP is asked of programs that are here, never by what is written down.
            text.retain(|c| c != '\x01');
        }
        if edit {
            text.insert_str(0, "* ");
        }
        if self.view.has(View::STAMP) {
            text.insert_str(0, &clock(self.event.at.0));
        }
        let (command, emote) = match message.kind {
            MessageKind::Text => ("PRIVMSG", false),
            MessageKind::Emote => ("PRIVMSG", true),
            MessageKind::Notice => ("NOTICE", false),
        };
        self.lines(command, emote, &text, out);
    }

    /// One text as one line, a batch, or several lines.
    fn lines(&self, command: &str, emote: bool, text: &str, out: &mut Vec<u8>) {
        let (source, target) = (self.source(), self.target());
        let mut room = multiline::room(&source, command, &target);
        if emote {
            room = room.saturating_sub("\x01ACTION \x01".len());
        }
        if text.len() <= room && !text.contains('\n') {
            let line = self.line(command);
            let line = if emote {
                line.trailing(format::action(text))
            } else {
                line.trailing(text)
            };
            return line.write_with(&self.tags(true), out);
        }
        let mut pieces = multiline::split(text, room);
        let rest = if pieces.len() > MOST_LINES {
            let rest = pieces.split_off(MOST_LINES);
            match self.server.whole_text(self.event.id) {
                Some(url) => {
                    let left = rest.len();
                    format!("({left} more lines, for anyone with this link: {url} )")
                }
                None => multiline::packed(&rest),
            }
        } else {
            String::new()
        };
        if !rest.is_empty() {
            pieces.extend(multiline::split(&rest, room));
        }
        if self.view.has(View::MULTILINE) && !emote {
            let config = self.server.config();
            let (most, lines) = (config.multiline_bytes, config.multiline_lines);
            for (n, part) in multiline::batches(&pieces, most, lines).enumerate() {
                self.batch(command, n, part, out);
            }
            return;
        }
        let mut first = true;
        for piece in pieces.iter().filter(|p| !p.text.is_empty()) {
            let line = self.line(command);
            let line = if emote {
                line.trailing(format::action(piece.text))
            } else {
                line.trailing(piece.text)
            };
            line.write_with(&self.tags(first), out);
            first = false;
        }
    }

    /// A draft/multiline batch of a message, its `n`th. What names the message stands before the first.
    fn batch(&self, command: &str, n: usize, pieces: &[multiline::Piece<'_>], out: &mut Vec<u8>) {
        let mut reference = format!("m{}", self.event.id);
        if n > 0 {
            reference.push_str(&format!("-{n}"));
        }
        let line = |sign: char| {
            let line = Line::new(self.source()).cmd("BATCH");
            line.param(format!("{sign}{reference}"))
        };
        let open = line('+').param("draft/multiline").param(self.target());
        open.write_with(&self.tags(n == 0), out);
        for (at, piece) in pieces.iter().enumerate() {
            let mut tags = TagBuf::new();
            tags.push(names::BATCH, &reference);
            if piece.concat && at > 0 {
                tags.push(names::MULTILINE_CONCAT, "");
            }
            self.line(command)
                .trailing(piece.text)
                .write_with(&tags, out);
        }
        let mut tags = TagBuf::new();
        if let Some(batch) = self.batch {
            tags.push(names::BATCH, batch);
        }
        line('-').write_with(&tags, out);
    }

    fn retraction(&self, reason: Option<&str>, about: Option<&Event>, out: &mut Vec<u8>) {
        let Some(target) = self.event.target() else {
            return;
        };
        if self.view.has(View::REDACT) {
            let line = self.line("REDACT").param(target.encode());
            let line = match reason {
                Some(reason) => line.trailing(reason),
                None => line,
            };
            return line.write_with(&self.tags(true), out);
        }
        let mut text = match about {
            Some(about) if about.author == self.event.author => {
                format!("took back what they said at {}", hour(about.at.0))
            }
            Some(about) => format!(
                "removed what {} said at {}",
                self.server.names.nick(&about.author),
                hour(about.at.0)
            ),
            None => "took back a message".to_owned(),
        };
        if let Some(reason) = reason {
            text.push_str(": ");
            text.push_str(reason);
        }
        self.line("NOTICE")
            .trailing(text)
            .write_with(&self.tags(true), out);
    }

    fn encrypted(&self, scheme: &str, out: &mut Vec<u8>) {
        let app = match sammen_core::encryption::family(scheme) {
            Some(Protocol::Xmpp) => "an XMPP app",
            Some(Protocol::Matrix) => "a Matrix app",
            Some(Protocol::Mail) => "a mail app",
            _ => "an app",
        };
        let stamp = if self.view.has(View::STAMP) {
            clock(self.event.at.0)
        } else {
            String::new()
        };
        let text = format!("{stamp}🔒 encrypted with {scheme}: open it in {app} that has {scheme}");
        self.line("NOTICE")
            .trailing(text)
            .write_with(&self.tags(true), out);
    }

    fn only_tags(&self, out: &mut Vec<u8>) {
        if self.irc_native().is_some() && self.view.tags() {
            self.line("TAGMSG").write_with(&self.tags(true), out);
        }
    }

    fn membership(&self, change: &sammen_core::event::MembershipChange, out: &mut Vec<u8>) {
        let Some(room) = self.convo.conversation.room() else {
            return;
        };
        let names = &self.server.names;
        let channel = names.channel(room);
        let by = &self.event.author;
        let reason = change.reason.as_deref();
        // The conversation is as it was before a leaving.
        let was_in = self.convo.has(&change.who);
        match change.action {
            MembershipAction::Joined => {
                let tags = self.tags_of(&change.who);
                join(self.server, &change.who, &channel, self.view).write_with(&tags, out);
            }
            MembershipAction::Left if was_in => {
                let line = Line::new(names.mask(&change.who))
                    .cmd("PART")
                    .param(channel);
                let line = match reason {
                    Some(reason) => line.trailing(reason),
                    None => line,
                };
                line.write_with(&self.tags_of(&change.who), out);
            }
            MembershipAction::Kicked | MembershipAction::Banned => {
                if change.action == MembershipAction::Banned {
                    self.ban(by, &channel, &change.who, '+', out);
                }
                if was_in {
                    let line = Line::new(names.mask(by)).cmd("KICK").param(channel);
                    let line = line
                        .param(names.nick(&change.who))
                        .trailing(reason.unwrap_or(&names.nick(by)));
                    line.write_with(&self.tags(true), out);
                }
            }
            MembershipAction::Unbanned => self.ban(by, &channel, &change.who, '-', out),
            _ => {}
        }
    }

    fn ban(&self, by: &Address, channel: &str, who: &Address, sign: char, out: &mut Vec<u8>) {
        let names = &self.server.names;
        let line = Line::new(names.mask(by))
            .cmd("MODE")
            .param(channel)
            .param(format!("{sign}b"))
            .param(format!("{}!*@*", names.nick(who)));
        line.write_with(&self.tags(true), out);
    }

    /// Tags of a line that comes from someone other than the event's author.
    fn tags_of(&self, who: &Address) -> TagBuf {
        if *who == self.event.author {
            return self.tags(true);
        }
        let mut tags = TagBuf::new();
        if let Some(batch) = self.batch {
            tags.push(names::BATCH, batch);
        }
        if self.view.has(View::TIME) {
            tags.push(names::TIME, time::format(self.event.at.0));
        }
        if self.view.has(View::TAGS) {
            tags.push(names::MSGID, self.event.id.encode());
        }
        tags
    }

    fn room(&self, change: &RoomChange, out: &mut Vec<u8>) {
        match change {
            RoomChange::Topic(topic) => {
                let line = self.line("TOPIC").trailing(one_line(topic));
                line.write_with(&self.tags(true), out);
            }
            RoomChange::Name(name) => {
                let text = format!("This room is called “{name}” now.");
                self.line("NOTICE")
                    .trailing(text)
                    .write_with(&self.tags(true), out);
            }
            RoomChange::Renamed { from, to, .. } => {
                let names = &self.server.names;
                let (from, to) = (names.channel(from), names.channel(to));
                let text = format!("This room was {from} and is {to} now.");
                self.line("NOTICE")
                    .trailing(text)
                    .write_with(&self.tags(true), out);
            }
            RoomChange::Created
            | RoomChange::Avatar(_)
            | RoomChange::Settings(_)
            | RoomChange::Destroyed { .. } => {}
        }
    }
}

/// A JOIN line of someone.
pub fn join(server: &Server, who: &Address, channel: &str, view: View) -> Line {
    let line = Line::new(server.names.mask(who)).cmd("JOIN").param(channel);
    if !view.has(View::EXTENDED_JOIN) {
        return line;
    }
    let account = server.names.account(who);
    line.param(account.as_deref().unwrap_or("*"))
        .trailing(server.realname(who))
}

/// Topics of other protocols can have several lines.
pub fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.collect::<Vec<_>>().join(" | ")
}

/// `[hh:mm] `, in UTC.
fn clock(ms: i64) -> String {
    format!("[{}] ", hour(ms))
}

/// `hh:mm`, in UTC.
fn hour(ms: i64) -> String {
    let full = time::format(ms);
    full.get(11..16).unwrap_or("??:??").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_stamped_only_without_server_time() {
        let plain = View::of(CapSet::EMPTY);
        assert_ne!(plain.past(), plain);
        let timed = View::of(CapSet::of(&[Cap::ServerTime]));
        assert_eq!(timed.past(), timed);
        assert_eq!(clock(13 * 3_600_000 + 5 * 60_000), "[13:05] ");
    }
}
