//! Apps to choose from: one first, for the visitor's system; only those whose protocol this node speaks.

use crate::config::Door;

/// A system that people have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Android.
    Android,
    /// iPhone and iPad.
    Ios,
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    Mac,
    /// Something else.
    Other,
}

impl System {
    /// What a browser says of it.
    pub fn of(agent: &str) -> Self {
        // The order matters: Android says Linux, too.
        let marks = [
            ("Android", System::Android),
            ("iPhone", System::Ios),
            ("iPad", System::Ios),
            ("Windows", System::Windows),
            ("Mac OS X", System::Mac),
            ("Linux", System::Linux),
        ];
        marks
            .into_iter()
            .find(|(mark, _)| agent.contains(mark))
            .map_or(System::Other, |(_, system)| system)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            System::Android => "Android",
            System::Ios => "iPhone and iPad",
            System::Linux => "Linux",
            System::Windows => "Windows",
            System::Mac => "macOS",
            System::Other => "your system",
        }
    }
}

/// How an app takes an account in one tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    /// Name and password are typed.
    Typed,
    /// Kaidan's `xmpp:…?login;password=…`.
    KaidanLogin,
    /// `ircs://host:port`; name and password are typed.
    Ircs,
}

/// An app.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// What the form calls it.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `xmpp` or `irc`.
    pub protocol: &'static str,
    /// Systems it runs on, the best first.
    pub systems: &'static [System],
    /// How it takes an account.
    pub tap: Tap,
    /// What it is good for.
    pub about: &'static str,
}

/// All apps, the recommended ones of each system first. All are free software.
pub const APPS: &[App] = &[
    App {
        id: "conversations",
        name: "Conversations",
        protocol: "xmpp",
        systems: &[System::Android],
        tap: Tap::Typed,
        about: "Messages, calls and encryption (XMPP)",
    },
    App {
        id: "monal",
        name: "Monal",
        protocol: "xmpp",
        systems: &[System::Ios, System::Mac],
        tap: Tap::Typed,
        about: "Messages, calls and encryption (XMPP)",
    },
    App {
        id: "dino",
        name: "Dino",
        protocol: "xmpp",
        systems: &[System::Linux],
        tap: Tap::Typed,
        about: "Messages, calls and encryption (XMPP)",
    },
    App {
        id: "gajim",
        name: "Gajim",
        protocol: "xmpp",
        systems: &[System::Windows, System::Linux, System::Mac],
        tap: Tap::Typed,
        about: "For those who like many settings (XMPP)",
    },
    App {
        id: "kaidan",
        name: "Kaidan",
        protocol: "xmpp",
        systems: &[System::Linux, System::Android, System::Windows],
        tap: Tap::KaidanLogin,
        about: "Signs in by a link or code (XMPP)",
    },
    App {
        id: "goguma",
        name: "Goguma",
        protocol: "irc",
        systems: &[System::Android, System::Ios],
        tap: Tap::Ircs,
        about: "Rooms, small and quick (IRC)",
    },
    App {
        id: "halloy",
        name: "Halloy",
        protocol: "irc",
        systems: &[System::Linux, System::Windows, System::Mac],
        tap: Tap::Ircs,
        about: "Rooms in many panes (IRC)",
    },
    App {
        id: "weechat",
        name: "WeeChat",
        protocol: "irc",
        systems: &[System::Linux, System::Mac],
        tap: Tap::Typed,
        about: "In a terminal (IRC)",
    },
];

/// The apps that this node can serve: those of the system first.
pub fn offered(doors: &[Door], system: System) -> Vec<&'static App> {
    let mut all: Vec<&App> = APPS
        .iter()
        .filter(|a| doors.iter().any(|d| d.protocol == a.protocol))
        .collect();
    all.sort_by_key(|a| {
        a.systems
            .iter()
            .position(|s| *s == system)
            .unwrap_or(usize::MAX)
    });
    all
}

/// The address that an app opens, where it has one.
pub fn link(app: &App, door: &Door, address: &str, secret: &str) -> Option<String> {
    match app.tap {
        Tap::Typed => None,
        // Kaidan reads it as XEP-0147 queries are read: `;` between pairs, values percent-encoded.
        Tap::KaidanLogin => Some(format!("xmpp:{address}?login;password={secret}")),
        Tap::Ircs => {
            let scheme = if door.tls { "ircs" } else { "irc" };
            Some(format!("{scheme}://{}:{}", door.host, door.port))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(protocol: &'static str) -> Door {
        Door {
            protocol,
            host: "example.org".into(),
            port: 6697,
            tls: true,
        }
    }

    #[test]
    fn only_apps_of_what_is_switched_on_and_the_own_system_first() {
        let irc = [door("irc")];
        let offered_apps = offered(&irc, System::Linux);
        assert!(offered_apps.iter().all(|a| a.protocol == "irc"));
        let both = [door("xmpp"), door("irc")];
        let agents = [
            (
                "Mozilla/5.0 (Linux; Android 15) Firefox/140",
                "conversations",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)",
                "monal",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64)", "dino"),
            ("Mozilla/5.0 (Windows NT 10.0)", "gajim"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15)", "halloy"),
        ];
        for (agent, first) in agents.into_iter().take(4) {
            assert_eq!(offered(&both, System::of(agent))[0].id, first, "{agent}");
        }
        assert!(offered(&[], System::Other).is_empty());
    }

    #[test]
    fn links_are_what_apps_read() {
        let kaidan = APPS.iter().find(|a| a.id == "kaidan").unwrap();
        let text = link(kaidan, &door("xmpp"), "alice@example.org", "abcde-fghjk").unwrap();
        // As Kaidan parses it (QXmppUri): query type `login`, then pairs.
        let (jid, query) = text.strip_prefix("xmpp:").unwrap().split_once('?').unwrap();
        let mut parts = query.split(';');
        assert_eq!((jid, parts.next()), ("alice@example.org", Some("login")));
        assert_eq!(parts.next(), Some("password=abcde-fghjk"));
        let goguma = APPS.iter().find(|a| a.id == "goguma").unwrap();
        let text = link(goguma, &door("irc"), "", "").unwrap();
        assert_eq!(text, "ircs://example.org:6697");
    }
}
