//! Standard replies (IRCv3 standard-replies): FAIL, WARN and NOTE with a code that programs can read.

use super::line::Line;

/// Codes used by this server, by the specification that names them.
pub mod codes {
    /// UTF8ONLY: the line was not UTF-8.
    pub const INVALID_UTF8: &str = "INVALID_UTF8";
    /// Sign in (or complete registration) first.
    pub const ACCOUNT_REQUIRED: &str = "ACCOUNT_REQUIRED";
    /// A parameter is missing.
    pub const NEED_MORE_PARAMS: &str = "NEED_MORE_PARAMS";
    /// A parameter cannot be read.
    pub const INVALID_PARAMS: &str = "INVALID_PARAMS";
    /// The target does not exist or is not yours to see.
    pub const INVALID_TARGET: &str = "INVALID_TARGET";
    /// Something failed on this side.
    pub const INTERNAL_ERROR: &str = "INTERNAL_ERROR";
    /// Come back later.
    pub const TEMPORARILY_UNAVAILABLE: &str = "TEMPORARILY_UNAVAILABLE";
    /// Too many of these; a metadata reply may add the seconds to wait.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// multiline: total bytes over the limit, which follows.
    pub const MULTILINE_MAX_BYTES: &str = "MULTILINE_MAX_BYTES";
    /// multiline: lines over the limit, which follows.
    pub const MULTILINE_MAX_LINES: &str = "MULTILINE_MAX_LINES";
    /// multiline: the batch's target and the line's differ; both follow.
    pub const MULTILINE_INVALID_TARGET: &str = "MULTILINE_INVALID_TARGET";
    /// multiline: anything else.
    pub const MULTILINE_INVALID: &str = "MULTILINE_INVALID";
    /// batch: the client left one open for too long.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// chathistory: no such subcommand.
    pub const UNKNOWN_COMMAND: &str = "UNKNOWN_COMMAND";
    /// chathistory: the messages could not be read.
    pub const MESSAGE_ERROR: &str = "MESSAGE_ERROR";
    /// chathistory: neither msgid nor timestamp where one is needed.
    pub const INVALID_MSGREFTYPE: &str = "INVALID_MSGREFTYPE";
    /// message-redaction: not yours to redact.
    pub const REDACT_FORBIDDEN: &str = "REDACT_FORBIDDEN";
    /// message-redaction: too late.
    pub const REDACT_WINDOW_EXPIRED: &str = "REDACT_WINDOW_EXPIRED";
    /// message-redaction: no such message here.
    pub const UNKNOWN_MSGID: &str = "UNKNOWN_MSGID";
    /// metadata: the key cannot be a key.
    pub const KEY_INVALID: &str = "KEY_INVALID";
    /// metadata: not allowed to see or set the key.
    pub const KEY_NO_PERMISSION: &str = "KEY_NO_PERMISSION";
    /// metadata: the key has no value.
    pub const KEY_NOT_SET: &str = "KEY_NOT_SET";
    /// metadata: the value cannot be a value.
    pub const VALUE_INVALID: &str = "VALUE_INVALID";
    /// metadata: too many keys.
    pub const LIMIT_REACHED: &str = "LIMIT_REACHED";
    /// metadata: too many subscriptions.
    pub const TOO_MANY_SUBS: &str = "TOO_MANY_SUBS";
    /// setname: the name cannot be a real name.
    pub const INVALID_REALNAME: &str = "INVALID_REALNAME";
    /// setname: it cannot be changed.
    pub const CANNOT_CHANGE_REALNAME: &str = "CANNOT_CHANGE_REALNAME";
    /// channel-rename: the room is elsewhere now.
    pub const CHANNEL_RENAMED: &str = "CHANNEL_RENAMED";
    /// channel-rename: the new name is taken.
    pub const CHANNEL_NAME_IN_USE: &str = "CHANNEL_NAME_IN_USE";
    /// channel-rename: not allowed or not possible.
    pub const CANNOT_RENAME: &str = "CANNOT_RENAME";
    /// account-registration: the name is taken.
    pub const ACCOUNT_EXISTS: &str = "ACCOUNT_EXISTS";
    /// account-registration: the account must be named like the nick.
    pub const ACCOUNT_NAME_MUST_BE_NICK: &str = "ACCOUNT_NAME_MUST_BE_NICK";
    /// account-registration: already signed in.
    pub const ALREADY_AUTHENTICATED: &str = "ALREADY_AUTHENTICATED";
    /// account-registration: the name cannot be an account's.
    pub const BAD_ACCOUNT_NAME: &str = "BAD_ACCOUNT_NAME";
    /// account-registration: complete the connection first.
    pub const COMPLETE_CONNECTION_REQUIRED: &str = "COMPLETE_CONNECTION_REQUIRED";
    /// account-registration: the code is wrong.
    pub const INVALID_CODE: &str = "INVALID_CODE";
    /// account-registration: the address cannot be one.
    pub const INVALID_EMAIL: &str = "INVALID_EMAIL";
    /// account-registration: the password cannot be used.
    pub const UNACCEPTABLE_PASSWORD: &str = "UNACCEPTABLE_PASSWORD";
    /// account-registration: the password is too easily guessed.
    pub const WEAK_PASSWORD: &str = "WEAK_PASSWORD";
}

/// How grave a standard reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The command was not done.
    Fail,
    /// It was done, but.
    Warn,
    /// Something to know.
    Note,
}

impl Severity {
    /// The command on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::Warn => "WARN",
            Self::Note => "NOTE",
        }
    }
}

/// `FAIL|WARN|NOTE command code [context…] :description`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardReply<'a> {
    /// How grave it is.
    pub severity: Severity,
    /// The command it answers, `*` if none.
    pub command: &'a str,
    /// One of [`codes`].
    pub code: &'a str,
    /// What the code's specification says follows it.
    pub context: Vec<&'a str>,
    /// For people to read.
    pub text: &'a str,
}

impl<'a> StandardReply<'a> {
    /// A FAIL without context.
    pub fn fail(command: &'a str, code: &'a str, text: &'a str) -> Self {
        Self {
            severity: Severity::Fail,
            command,
            code,
            context: Vec::new(),
            text,
        }
    }

    /// Adds a context parameter.
    pub fn with(mut self, context: &'a str) -> Self {
        self.context.push(context);
        self
    }

    /// The reply as a line from `server`.
    pub fn line(&self, server: &str) -> Line {
        let line = Line::new(server)
            .cmd(self.severity.as_str())
            .param(self.command)
            .param(self.code);
        self.context
            .iter()
            .fold(line, |line, context| line.param(context))
            .trailing(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_with_context() {
        let reply = StandardReply::fail(
            "BATCH",
            codes::MULTILINE_MAX_BYTES,
            "Multiline batch max-bytes exceeded",
        )
        .with("40000");
        assert_eq!(
            reply.line("irc.example.com").finish(),
            b":irc.example.com FAIL BATCH MULTILINE_MAX_BYTES 40000 :Multiline batch max-bytes exceeded\r\n"
        );
        let note = StandardReply {
            severity: Severity::Note,
            ..StandardReply::fail("*", "X", "y")
        };
        assert_eq!(note.line("s").finish(), b":s NOTE * X :y\r\n");
    }
}
