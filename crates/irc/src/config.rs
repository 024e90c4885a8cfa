//! Settings of the IRC side.

use serde::{Deserialize, Serialize};

/// What an operator can set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The server's name in lines and greetings; the node's main domain where empty.
    pub name: String,
    /// What the network is called (ISUPPORT NETWORK).
    pub network: String,
    /// Lines of the day; none where empty.
    pub motd: Vec<String>,
    /// Whom to ask (ADMIN): place, organisation, mail address.
    pub admin: Vec<String>,
    /// Visitors without an account may come in.
    pub guests: bool,
    /// Anyone may make an account (draft/account-registration).
    pub registration: bool,
    /// The port on which clients that came in clear find TLS (IRCv3 sts).
    pub sts_port: Option<u16>,
    /// Seconds for which clients remember to use TLS.
    pub sts_duration: u64,
    /// Where files are uploaded (ISUPPORT `draft/FILEHOST`): [`crate::filehost::router`], or another place.
    pub filehost: Option<String>,
    /// How the outside reaches this node's files: the part of their addresses before the path. None: there are none.
    pub files: Option<String>,
    /// The network's picture (ISUPPORT `draft/ICON`).
    pub icon: Option<String>,
    /// Most bytes of one multi-line message.
    pub multiline_bytes: usize,
    /// Most lines of one multi-line message.
    pub multiline_lines: usize,
    /// Most messages of one CHATHISTORY answer.
    pub history: usize,
    /// Most missed messages that a client without CHATHISTORY gets when it comes back.
    pub replay: usize,
    /// Changes that are looked at for them; of more only the end, as many of the node's changes again.
    pub replay_looks: usize,
    /// Most nicks on a MONITOR list.
    pub monitor: usize,
    /// Most targets of one PRIVMSG.
    pub targets: usize,
    /// Seconds that a connection may take to sign in.
    pub registration_seconds: u64,
    /// Seconds of silence after which a client is asked whether it is there.
    pub ping_seconds: u64,
    /// Milliseconds for which what is said in a room waits for more, right after something else was shown; 0 for not at
    /// all; four times as long where more than one comes in that time. Answers, direct messages and the first message after a pause never wait.
    pub gather_ms: u64,
    /// Commands a second in the long run.
    pub commands_per_second: u32,
    /// Commands at once; nothing is dropped, reading waits.
    pub commands_burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            network: "Sammen".into(),
            motd: Vec::new(),
            admin: Vec::new(),
            guests: false,
            registration: false,
            sts_port: None,
            sts_duration: 0,
            filehost: None,
            files: None,
            icon: None,
            multiline_bytes: 32 * 1024,
            multiline_lines: 200,
            history: 200,
            replay: 500,
            replay_looks: 20_000,
            monitor: 256,
            targets: 4,
            registration_seconds: 60,
            ping_seconds: 120,
            gather_ms: 20,
            commands_per_second: 20,
            commands_burst: 200,
        }
    }
}
