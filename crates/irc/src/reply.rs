//! What a session sends: replies, numerics, standard replies, and the answers to labelled commands.

use bytes::Bytes;

use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::standard::{Severity, StandardReply};
use crate::wire::{Line, Numeric, multiline, tags};

/// The lines of an answer to a labelled command, until it is whole.
pub(crate) struct Capture {
    pub label: String,
    pub lines: Vec<Bytes>,
    /// The answer comes later, with the outcome of what was submitted.
    pub deferred: bool,
}

impl Session {
    /// Sends one line as (part of) the answer to the command at hand.
    pub(crate) fn reply(&mut self, line: Line) {
        self.reply_bytes(line.finish().into());
    }

    /// The same for a finished line.
    pub(crate) fn reply_bytes(&mut self, line: Bytes) {
        match &mut self.capture {
            Some(capture) => capture.lines.push(line),
            None => self.emit(line),
        }
    }

    /// The same for several finished lines.
    pub(crate) fn reply_lines(&mut self, lines: Bytes) {
        if self.capture.is_none() {
            return self.emit(lines);
        }
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            self.reply_bytes(lines.slice(from..=end));
            from = end + 1;
        }
    }

    /// Ends an answer.
    pub(crate) fn answered(&mut self) {
        self.finish_capture();
    }

    /// Sends lines that answer nothing.
    pub(crate) fn emit(&mut self, lines: Bytes) {
        if self.own_event
            && let Some(capture) = &mut self.capture
        {
            let mut from = 0;
            for end in memchr::memchr_iter(b'\n', &lines) {
                capture.lines.push(lines.slice(from..=end));
                from = end + 1;
            }
            return;
        }
        self.out_bytes += lines.len();
        self.out.push(lines);
    }

    pub(crate) fn emit_line(&mut self, line: Line) {
        self.emit(line.finish().into());
    }

    /// A line from the server, to be completed.
    pub(crate) fn server_line(&self, command: &str) -> Line {
        Line::new(&self.server.name).cmd(command)
    }

    /// A numeric with middle parameters and text.
    pub(crate) fn numeric(&mut self, numeric: Numeric, middle: &[&str], text: &str) {
        let line = self.numeric_line(numeric, middle).trailing(text);
        self.reply(line);
    }

    /// A numeric without text.
    pub(crate) fn numeric_bare(&mut self, numeric: Numeric, middle: &[&str]) {
        let line = self.numeric_line(numeric, middle);
        self.reply(line);
    }

    /// A text for people at the end of a line, on as many lines as it takes.
    pub(crate) fn said(&mut self, begin: &Line, text: &str) {
        for piece in multiline::split(text, begin.room().saturating_sub(2)) {
            self.reply(begin.clone().trailing(piece.text));
        }
    }

    /// A list as the text of as many numerics as it takes; none for none.
    pub(crate) fn numeric_list(
        &mut self,
        numeric: Numeric,
        middle: &[&str],
        words: &[String],
        between: char,
    ) {
        let room = self.numeric_line(numeric, middle).room().saturating_sub(2);
        let mut list = String::new();
        for word in words {
            if !list.is_empty() && list.len() + 1 + word.len() > room {
                self.numeric(numeric, middle, &list);
                list.clear();
            }
            if !list.is_empty() {
                list.push(between);
            }
            list.push_str(word);
        }
        if !list.is_empty() {
            self.numeric(numeric, middle, &list);
        }
    }

    pub(crate) fn numeric_line(&self, numeric: Numeric, middle: &[&str]) -> Line {
        let line = Line::numeric(&self.server.name, numeric, self.nick());
        middle.iter().fold(line, |line, param| line.param(param))
    }

    /// A FAIL reply; clients that don't know them get a NOTICE.
    pub(crate) fn fail(&mut self, command: &str, code: &str, context: &[&str], text: &str) {
        self.standard(Severity::Fail, command, code, context, text);
    }

    pub(crate) fn standard(
        &mut self,
        severity: Severity,
        command: &str,
        code: &str,
        context: &[&str],
        text: &str,
    ) {
        let line = if self.has(Cap::StandardReplies) || self.me.is_none() {
            let reply = StandardReply {
                severity,
                command,
                code,
                context: context.to_vec(),
                text,
            };
            reply.line(&self.server.name)
        } else {
            self.server_line("NOTICE")
                .param(self.nick())
                .trailing(format!("{command}: {text}"))
        };
        self.reply(line);
    }

    /// A NOTICE from the server that answers nothing.
    pub(crate) fn notice(&mut self, text: &str) {
        let line = self.server_line("NOTICE").param(self.nick()).trailing(text);
        self.emit_line(line);
    }

    /// A refusal of something about a channel or nick.
    pub(crate) fn refuse(&mut self, refusal: &sammen_core::Refusal, target: &str) {
        let numeric = crate::refusal::numeric(refusal, target.starts_with('#'));
        self.numeric(numeric, &[target], &refusal.to_string());
    }

    /// The answer comes with the outcome of a submission: no ACK now. Returns the label.
    pub(crate) fn defer(&mut self) -> Option<String> {
        let capture = self.capture.as_mut()?;
        // With several targets the first one's outcome is the answer.
        let first = !std::mem::replace(&mut capture.deferred, true);
        first.then(|| capture.label.clone())
    }

    /// A reference for a batch of ours.
    pub(crate) fn batch_ref(&mut self) -> String {
        self.next_batch = self.next_batch.wrapping_add(1);
        format!("b{:x}", self.next_batch)
    }

    /// Whether a labelled command is being answered.
    pub(crate) fn is_labelled(&self) -> bool {
        self.capture.is_some()
    }

    pub(crate) fn finish_capture(&mut self) {
        let Some(capture) = self.capture.take() else {
            return;
        };
        let label = label_tag(&capture.label);
        match capture.lines.as_slice() {
            [] if capture.deferred => {}
            // labeled-response: nothing to say is said.
            [] => {
                let line = self.server_line("ACK").finish();
                self.emit(tagged(&line.into(), &label));
            }
            [one] => self.emit(tagged(one, &label)),
            many => {
                let batch = self.batch_ref();
                let open = self
                    .server_line("BATCH")
                    .param(format!("+{batch}"))
                    .param("labeled-response")
                    .finish();
                self.emit(tagged(&open.into(), &label));
                let inside = format!("batch={batch}").into_bytes();
                for line in many {
                    if has_batch(line) {
                        self.emit(line.clone());
                    } else {
                        self.emit(tagged(line, &inside));
                    }
                }
                let end = self.server_line("BATCH").param(format!("-{batch}"));
                self.emit_line(end);
            }
        }
    }
}

/// `label=…`, escaped.
pub(crate) fn label_tag(label: &str) -> Vec<u8> {
    let mut out = b"label=".to_vec();
    tags::escape_into(label.as_bytes(), &mut out);
    out
}

/// A finished line with one more tag (`key=value`, escaped).
pub(crate) fn tagged(line: &Bytes, tag: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(line.len() + tag.len() + 2);
    out.push(b'@');
    out.extend_from_slice(tag);
    match line.strip_prefix(b"@") {
        Some(rest) => {
            out.push(b';');
            out.extend_from_slice(rest);
        }
        None => {
            out.push(b' ');
            out.extend_from_slice(line);
        }
    }
    out.into()
}

fn has_batch(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"@") else {
        return false;
    };
    let data = rest.split(|b| *b == b' ').next().unwrap_or_default();
    tags::Tags::new(data).any(|(key, _)| key == tags::names::BATCH.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_added_to_a_finished_line() {
        let tag = label_tag("a b");
        let plain = tagged(&Bytes::from_static(b":s ACK\r\n"), &tag);
        assert_eq!(&plain[..], b"@label=a\\sb :s ACK\r\n");
        let more = tagged(&plain, b"batch=x");
        assert_eq!(&more[..], b"@batch=x;label=a\\sb :s ACK\r\n");
        assert!(has_batch(&more) && !has_batch(&plain));
    }
}
