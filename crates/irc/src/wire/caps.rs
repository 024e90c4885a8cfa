//! CAP: the capabilities there are, sets of them, what clients ask and how the lists are rendered.

use super::line::Line;

macro_rules! caps {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A capability. Ratified ones come first: a list that must fit one line drops the others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Cap {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl Cap {
            /// All of them, in order.
            pub const ALL: &[Cap] = &[$(Cap::$variant),*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Cap::$variant => $name,)* }
            }

            /// The capability of that name; names are case-sensitive.
            pub fn from_name(name: &str) -> Option<Cap> {
                match name { $($name => Some(Cap::$variant),)* _ => None }
            }
        }
    };
}

caps! {
    AccountNotify "account-notify",
    AccountTag "account-tag",
    AwayNotify "away-notify",
    Batch "batch",
    CapNotify "cap-notify",
    Chghost "chghost",
    EchoMessage "echo-message",
    ExtendedJoin "extended-join",
    ExtendedMonitor "extended-monitor",
    InviteNotify "invite-notify",
    LabeledResponse "labeled-response",
    MessageTags "message-tags",
    MultiPrefix "multi-prefix",
    NoImplicitNames "no-implicit-names",
    Sasl "sasl",
    ServerTime "server-time",
    Setname "setname",
    StandardReplies "standard-replies",
    Sts "sts",
    UserhostInNames "userhost-in-names",
    Chathistory "draft/chathistory",
    EventPlayback "draft/event-playback",
    Multiline "draft/multiline",
    ReadMarker "draft/read-marker",
    MessageRedaction "draft/message-redaction",
    AccountRegistration "draft/account-registration",
    ChannelRename "draft/channel-rename",
    PreAway "draft/pre-away",
    Metadata2 "draft/metadata-2",
    ExtendedIsupport "draft/extended-isupport",
    DraftNoImplicitNames "draft/no-implicit-names",
    SojuNoImplicitNames "soju.im/no-implicit-names",
    SojuSearch "soju.im/search",
}

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CapSet(u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: CapSet = CapSet(0);

    /// The set of these.
    pub fn of(caps: &[Cap]) -> Self {
        caps.iter().copied().collect()
    }

    /// True if `cap` is in it.
    pub fn has(self, cap: Cap) -> bool {
        self.0 & bit(cap) != 0
    }

    /// With `cap`.
    pub fn insert(&mut self, cap: Cap) {
        self.0 |= bit(cap);
    }

    /// Without `cap`.
    pub fn remove(&mut self, cap: Cap) {
        self.0 &= !bit(cap);
    }

    /// What is in either.
    pub fn union(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    /// What is in both: lines for readers that agree in what matters can be shared.
    pub fn intersection(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    /// What is in this but not in the other.
    pub fn difference(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The capabilities, in order.
    pub fn iter(self) -> impl Iterator<Item = Cap> {
        Cap::ALL.iter().copied().filter(move |cap| self.has(*cap))
    }

    /// True if NAMES must not follow a JOIN, by any of the capability's names.
    pub fn no_implicit_names(self) -> bool {
        const NAMES: [Cap; 3] = [
            Cap::NoImplicitNames,
            Cap::DraftNoImplicitNames,
            Cap::SojuNoImplicitNames,
        ];
        NAMES.into_iter().any(|cap| self.has(cap))
    }

    /// True if the reader understands tags at all.
    pub fn any_tags(self) -> bool {
        const TAGS: [Cap; 5] = [
            Cap::MessageTags,
            Cap::ServerTime,
            Cap::AccountTag,
            Cap::Batch,
            Cap::LabeledResponse,
        ];
        TAGS.into_iter().any(|cap| self.has(cap))
    }
}

impl FromIterator<Cap> for CapSet {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> Self {
        let mut set = CapSet::EMPTY;
        caps.into_iter().for_each(|cap| set.insert(cap));
        set
    }
}

impl std::fmt::Debug for CapSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Cap::name)).finish()
    }
}

const fn bit(cap: Cap) -> u64 {
    1 << cap as u8
}

/// A client's CAP command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapCommand<'a> {
    /// `LS [version]`; 0 without a version.
    Ls(u32),
    /// `LIST`
    List,
    /// `REQ :…`, for [`CapRequest::parse`] and to be echoed.
    Req(&'a str),
    /// `END`
    End,
    /// Anything else: 410 ERR_INVALIDCAPCMD with this word.
    Unknown(&'a str),
}

impl<'a> CapCommand<'a> {
    /// Reads the parameters of a CAP line. A version that is not a number is none.
    pub fn parse(subcommand: &'a str, argument: Option<&'a str>) -> Self {
        match subcommand {
            s if s.eq_ignore_ascii_case("LS") => {
                Self::Ls(argument.and_then(|v| v.parse().ok()).unwrap_or(0))
            }
            s if s.eq_ignore_ascii_case("LIST") => Self::List,
            s if s.eq_ignore_ascii_case("REQ") => {
                Self::Req(argument.unwrap_or("").trim_matches(' '))
            }
            s if s.eq_ignore_ascii_case("END") => Self::End,
            s => Self::Unknown(s),
        }
    }
}

/// What a REQ asks for: to be granted as a whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapRequest {
    /// To enable.
    pub add: CapSet,
    /// To disable (`-name`).
    pub remove: CapSet,
}

impl CapRequest {
    /// Reads a REQ against what is offered; `None` means NAK. From left to right, the last wins.
    /// `sts` cannot be asked for (IRCv3 sts).
    pub fn parse(list: &str, offered: CapSet) -> Option<Self> {
        let mut out = Self::default();
        for word in list.split(' ').filter(|w| !w.is_empty()) {
            let (name, on) = word
                .strip_prefix('-')
                .map_or((word, true), |name| (name, false));
            let cap = Cap::from_name(name).filter(|cap| offered.has(*cap) && *cap != Cap::Sts)?;
            let (to, from) = if on {
                (&mut out.add, &mut out.remove)
            } else {
                (&mut out.remove, &mut out.add)
            };
            to.insert(cap);
            from.remove(cap);
        }
        Some(out)
    }

    /// The set after granting.
    pub fn apply(self, to: CapSet) -> CapSet {
        to.union(self.add).difference(self.remove)
    }
}

/// Values of capabilities, for CAP LS 302 and CAP NEW.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapValues(Vec<(Cap, String)>);

impl CapValues {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one as is, e.g. `PLAIN,EXTERNAL` for [`Cap::Sasl`].
    pub fn set(&mut self, cap: Cap, value: impl Into<String>) -> &mut Self {
        self.0.retain(|(c, _)| *c != cap);
        self.0.push((cap, value.into()));
        self
    }

    /// `sts`: on a plain connection the TLS port, on TLS the seconds to remember it (IRCv3 sts).
    pub fn sts(&mut self, port: Option<u16>, duration_s: u64) -> &mut Self {
        match port {
            Some(port) => self.set(Cap::Sts, format!("port={port}")),
            None => self.set(Cap::Sts, format!("duration={duration_s}")),
        }
    }

    /// `draft/multiline`: limits of one batch.
    pub fn multiline(&mut self, max_bytes: usize, max_lines: usize) -> &mut Self {
        self.set(
            Cap::Multiline,
            format!("max-bytes={max_bytes},max-lines={max_lines}"),
        )
    }

    /// The value of one.
    pub fn get(&self, cap: Cap) -> Option<&str> {
        self.0
            .iter()
            .find(|(c, _)| *c == cap)
            .map(|(_, value)| value.as_str())
    }
}

/// `CAP nick subcommand …`: LS and NEW with values for clients of version 302, LIST, DEL without.
///
/// Version 302 clients get as many lines as needed, all but the last with `*`. Others know one line
/// only: what does not fit is left out, from the end.
pub fn render(
    server: &str,
    nick: &str,
    subcommand: &str,
    caps: CapSet,
    values: Option<&CapValues>,
    v302: bool,
) -> Vec<Line> {
    let begin = || Line::new(server).cmd("CAP").param(nick).param(subcommand);
    let may_continue = v302 && matches!(subcommand, "LS" | "LIST");
    // ` *` and ` :`, whether they will be there or not.
    let room = begin().room().saturating_sub(4);
    let mut lists = vec![String::new()];
    for cap in caps.iter() {
        let mut word = cap.name().to_owned();
        if let Some(value) = values.and_then(|v| v.get(cap)) {
            word.push('=');
            word.push_str(value);
        }
        let Some(list) = lists.last_mut() else { break };
        if !list.is_empty() && list.len() + 1 + word.len() > room {
            if may_continue || v302 {
                lists.push(word);
                continue;
            }
            break;
        }
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(&word);
    }
    let last = lists.len().saturating_sub(1);
    lists
        .iter()
        .enumerate()
        .map(|(at, list)| {
            let line = if at < last && may_continue {
                begin().param("*")
            } else {
                begin()
            };
            line.trailing(list)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        assert!(Cap::ALL.len() <= 64);
        for cap in Cap::ALL {
            assert_eq!(Cap::from_name(cap.name()), Some(*cap));
        }
        assert_eq!(Cap::from_name("Sasl"), None);
    }

    #[test]
    fn commands() {
        assert_eq!(CapCommand::parse("ls", Some("302")), CapCommand::Ls(302));
        assert_eq!(CapCommand::parse("LS", Some("x")), CapCommand::Ls(0));
        assert_eq!(CapCommand::parse("LS", None), CapCommand::Ls(0));
        assert_eq!(
            CapCommand::parse("REQ", Some("sasl batch ")),
            CapCommand::Req("sasl batch")
        );
        assert_eq!(CapCommand::parse("END", None), CapCommand::End);
        assert_eq!(CapCommand::parse("FOO", None), CapCommand::Unknown("FOO"));
    }

    #[test]
    fn a_request_is_granted_whole_or_not() {
        let offered = CapSet::of(&[Cap::Sasl, Cap::Batch, Cap::Sts]);
        let request = CapRequest::parse(" sasl  -batch ", offered).unwrap();
        assert_eq!(request.add, CapSet::of(&[Cap::Sasl]));
        assert_eq!(
            request.apply(CapSet::of(&[Cap::Batch])),
            CapSet::of(&[Cap::Sasl])
        );
        assert_eq!(
            CapRequest::parse("sasl -sasl", offered)
                .unwrap()
                .apply(CapSet::EMPTY),
            CapSet::EMPTY
        );
        for refused in [
            "sasl nonsense",
            "setname",
            "sts",
            "-",
            "sasl=PLAIN",
            "--sasl",
        ] {
            assert_eq!(CapRequest::parse(refused, offered), None, "{refused}");
        }
        assert_eq!(CapRequest::parse("", offered), Some(CapRequest::default()));
    }

    #[test]
    fn lists_on_several_lines() {
        let mut values = CapValues::new();
        values
            .set(Cap::Sasl, "PLAIN,EXTERNAL,SCRAM-SHA-256")
            .sts(None, 86400)
            .multiline(40000, 100);
        values.set(Cap::Chathistory, "1000");
        let all = CapSet::of(Cap::ALL);
        let lines = render("irc.example.org", "*", "LS", all, Some(&values), true);
        let text: Vec<String> = lines
            .iter()
            .map(|l| String::from_utf8(l.finish()).unwrap())
            .collect();
        assert!(text.len() > 1);
        let mut names = Vec::new();
        for (at, line) in text.iter().enumerate() {
            assert!(line.len() <= 512);
            let head = if at + 1 < text.len() {
                ":irc.example.org CAP * LS * :"
            } else {
                ":irc.example.org CAP * LS :"
            };
            names.extend(
                line.strip_prefix(head)
                    .unwrap()
                    .trim_end()
                    .split(' ')
                    .map(str::to_owned),
            );
        }
        assert_eq!(names.len(), Cap::ALL.len());
        assert!(names.contains(&"draft/multiline=max-bytes=40000,max-lines=100".to_owned()));
        assert!(names.contains(&"sts=duration=86400".to_owned()));
    }

    #[test]
    fn old_clients_get_one_line() {
        let lines = render(
            "irc.example.org",
            "bob",
            "LS",
            CapSet::of(Cap::ALL),
            None,
            false,
        );
        assert_eq!(lines.len(), 1);
        let text = String::from_utf8(lines[0].finish()).unwrap();
        assert!(
            text.len() <= 512 && text.starts_with(":irc.example.org CAP bob LS :account-notify ")
        );
        assert!(text.contains(" userhost-in-names"));
        let none = render("s", "*", "LIST", CapSet::EMPTY, None, true);
        assert_eq!(none[0].finish(), b":s CAP * LIST :\r\n");
    }
}
