//! Formatting codes of IRC text as runs of one style, both ways; CTCP and its ACTION.
//!
//! The codes are those of modern.ircdocs.horse/formatting: 0x02 bold, 0x1D italic, 0x1F underline,
//! 0x1E strikethrough, 0x11 monospace, 0x16 reverse, 0x03 colour, 0x04 hex colour, 0x0F reset.

use std::borrow::Cow;

const BOLD: char = '\x02';
const COLOUR: char = '\x03';
const HEX: char = '\x04';
const RESET: char = '\x0f';
const MONO: char = '\x11';
const REVERSE: char = '\x16';
const ITALIC: char = '\x1d';
const STRIKE: char = '\x1e';
const UNDERLINE: char = '\x1f';

/// A colour of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    /// 0–98 of the palette; 99 is no colour.
    Palette(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a run looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Style {
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Struck through.
    pub strike: bool,
    /// Monospaced.
    pub mono: bool,
    /// Foreground and background exchanged.
    pub reverse: bool,
    /// Foreground, `None` for the reader's own.
    pub fg: Option<Colour>,
    /// Background, `None` for the reader's own.
    pub bg: Option<Colour>,
}

/// A stretch of text in one style; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'a> {
    /// The text, without codes.
    pub text: Cow<'a, str>,
    /// Its style.
    pub style: Style,
}

fn is_code(c: char) -> bool {
    matches!(
        c,
        BOLD | COLOUR | HEX | RESET | MONO | REVERSE | ITALIC | STRIKE | UNDERLINE
    )
}

/// Takes text apart into runs. Neighbours differ in style.
pub fn parse(text: &str) -> Vec<Run<'_>> {
    let mut out: Vec<Run<'_>> = Vec::new();
    let mut style = Style::default();
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.find(is_code).unwrap_or(rest.len());
        let (run, tail) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        push(&mut out, Cow::Borrowed(run), style);
        let mut chars = tail.chars();
        let Some(code) = chars.next() else { break };
        rest = chars.as_str();
        match code {
            BOLD => style.bold = !style.bold,
            ITALIC => style.italic = !style.italic,
            UNDERLINE => style.underline = !style.underline,
            STRIKE => style.strike = !style.strike,
            MONO => style.mono = !style.mono,
            REVERSE => style.reverse = !style.reverse,
            RESET => style = Style::default(),
            COLOUR => rest = colours(rest, &mut style, palette),
            _ => rest = colours(rest, &mut style, hex),
        }
    }
    out
}

fn push<'a>(out: &mut Vec<Run<'a>>, text: Cow<'a, str>, style: Style) {
    if text.is_empty() {
        return;
    }
    match out.last_mut().filter(|last| last.style == style) {
        Some(last) => last.text.to_mut().push_str(&text),
        None => out.push(Run { text, style }),
    }
}

/// Reads one colour off the start of a text and gives the rest; the inner `None` is no colour.
type ReadColour = fn(&str) -> Option<(Option<Colour>, &str)>;

/// Reads `fg[,bg]` with `one`; neither means no colours. A comma without a colour is text.
fn colours<'a>(rest: &'a str, style: &mut Style, one: ReadColour) -> &'a str {
    let Some((fg, rest)) = one(rest) else {
        (style.fg, style.bg) = (None, None);
        return rest;
    };
    style.fg = fg;
    match rest.strip_prefix(',').and_then(one) {
        Some((bg, rest)) => {
            style.bg = bg;
            rest
        }
        None => rest,
    }
}

/// One or two digits; 99 is the reader's own colour.
fn palette(text: &str) -> Option<(Option<Colour>, &str)> {
    let len = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(len)?;
    let n: u8 = digits.parse().ok()?;
    Some(((n != 99).then_some(Colour::Palette(n)), rest))
}

/// Six hex digits.
fn hex(text: &str) -> Option<(Option<Colour>, &str)> {
    let (digits, rest) = text.split_at_checked(6)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let [_, r, g, b] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some((Some(Colour::Rgb(r, g, b)), rest))
}

/// Writes runs as text with codes. Codes inside a run's text are left out, they would change the
/// style of what follows.
pub fn render(runs: &[Run<'_>]) -> String {
    let mut out = String::new();
    let mut now = Style::default();
    for run in runs {
        let text = strip(&run.text);
        if text.is_empty() {
            continue;
        }
        let want = run.style;
        if want == Style::default() && now != want {
            out.push(closing(now));
        } else {
            for (code, is, was) in [
                (BOLD, want.bold, now.bold),
                (ITALIC, want.italic, now.italic),
                (UNDERLINE, want.underline, now.underline),
                (STRIKE, want.strike, now.strike),
                (MONO, want.mono, now.mono),
                (REVERSE, want.reverse, now.reverse),
            ] {
                if is != was {
                    out.push(code);
                }
            }
            if (want.fg, want.bg) != (now.fg, now.bg) {
                write_colours(&mut out, want.fg, want.bg);
                // What follows must not be read as part of the colour: bold on and off ends it.
                if text.starts_with(|c: char| c == ',' || c.is_ascii_hexdigit()) {
                    out.push(BOLD);
                    out.push(BOLD);
                }
            }
        }
        out.push_str(&text);
        now = want;
    }
    out
}

/// The code that ends a style: its own where it is only one, else the one that ends all.
pub fn closing(style: Style) -> char {
    let one = |code, only: Style| (style == only).then_some(code);
    let plain = Style::default();
    one(
        BOLD,
        Style {
            bold: true,
            ..plain
        },
    )
    .or(one(
        ITALIC,
        Style {
            italic: true,
            ..plain
        },
    ))
    .or(one(
        UNDERLINE,
        Style {
            underline: true,
            ..plain
        },
    ))
    .or(one(
        STRIKE,
        Style {
            strike: true,
            ..plain
        },
    ))
    .or(one(
        MONO,
        Style {
            mono: true,
            ..plain
        },
    ))
    .or(one(
        REVERSE,
        Style {
            reverse: true,
            ..plain
        },
    ))
    .unwrap_or(RESET)
}

fn write_colours(out: &mut String, fg: Option<Colour>, bg: Option<Colour>) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail. A background is only written together with a foreground of
    // its own kind, so the foreground may need a second code.
    let number = |c: Option<Colour>| match c {
        Some(Colour::Palette(n)) => n.min(98),
        _ => 99,
    };
    let _ = match (fg, bg) {
        (None, None) => write!(out, "{COLOUR}"),
        (Some(Colour::Rgb(r, g, b)), Some(Colour::Rgb(x, y, z))) => {
            write!(out, "{HEX}{r:02X}{g:02X}{b:02X},{x:02X}{y:02X}{z:02X}")
        }
        (_, Some(Colour::Rgb(x, y, z))) => {
            write!(
                out,
                "{HEX}000000,{x:02X}{y:02X}{z:02X}{COLOUR}{:02}",
                number(fg)
            )
        }
        (Some(Colour::Rgb(r, g, b)), bg) => {
            write!(
                out,
                "{COLOUR}99,{:02}{HEX}{r:02X}{g:02X}{b:02X}",
                number(bg)
            )
        }
        (fg, bg) => write!(out, "{COLOUR}{:02},{:02}", number(fg), number(bg)),
    };
}

/// The text without any codes.
pub fn strip(text: &str) -> Cow<'_, str> {
    if !text.contains(is_code) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(parse(text).into_iter().map(|run| run.text).collect())
}

/// The delimiter of CTCP.
const CTCP: char = '\x01';

/// A CTCP message inside PRIVMSG (request) or NOTICE (answer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ctcp<'a> {
    /// The command as sent, e.g. `ACTION`, `VERSION`.
    pub command: &'a str,
    /// What follows it after one space; empty if nothing.
    pub params: &'a str,
}

impl<'a> Ctcp<'a> {
    /// Reads a message that begins with 0x01 and a command; the closing 0x01 may be missing (lines
    /// are cut).
    pub fn parse(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix(CTCP)?;
        let inner = inner.strip_suffix(CTCP).unwrap_or(inner);
        let (command, params) = inner.split_once(' ').unwrap_or((inner, ""));
        if command.is_empty() || command.contains(CTCP) {
            return None;
        }
        Some(Self { command, params })
    }

    /// The text of an ACTION (`/me`).
    pub fn action(text: &'a str) -> Option<&'a str> {
        Self::parse(text)
            .filter(|c| c.command.eq_ignore_ascii_case("ACTION"))
            .map(|c| c.params)
    }

    /// The message; 0x01 inside is left out.
    pub fn render(&self) -> String {
        let clean = |s: &str| s.replace(CTCP, "");
        let (command, params) = (clean(self.command), clean(self.params));
        let space = if params.is_empty() { "" } else { " " };
        format!("{CTCP}{command}{space}{params}{CTCP}")
    }
}

/// `text` as an ACTION.
pub fn action(text: &str) -> String {
    Ctcp {
        command: "ACTION",
        params: text,
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<(String, Style)> {
        parse(text)
            .into_iter()
            .map(|r| (r.text.into_owned(), r.style))
            .collect()
    }

    #[test]
    fn codes_toggle_and_reset() {
        let plain = Style::default();
        let bold = Style {
            bold: true,
            ..plain
        };
        let both = Style {
            italic: true,
            ..bold
        };
        assert_eq!(
            runs("a\x02b\x1dc\x0fd"),
            [
                ("a".into(), plain),
                ("b".into(), bold),
                ("c".into(), both),
                ("d".into(), plain)
            ]
        );
        assert_eq!(runs("\x02\x02a\x02\x02b"), [("ab".into(), plain)]);
        assert_eq!(runs("\x02\x1d\x1f"), []);
        let all = Style {
            bold: true,
            italic: true,
            underline: true,
            strike: true,
            mono: true,
            reverse: true,
            ..plain
        };
        assert_eq!(runs("\x02\x1d\x1f\x1e\x11\x16x"), [("x".into(), all)]);
    }

    #[test]
    fn colours_of_all_kinds() {
        let p = |n| Some(Colour::Palette(n));
        let rgb = |r, g, b| Some(Colour::Rgb(r, g, b));
        for (text, plain, fg, bg) in [
            ("\x034x", "x", p(4), None),
            ("\x0304x", "x", p(4), None),
            ("\x03123", "3", p(12), None),
            ("\x034,5x", "x", p(4), p(5)),
            ("\x0304,056", "6", p(4), p(5)),
            ("\x034,x", ",x", p(4), None),
            ("\x03,5", ",5", None, None),
            ("\x0399,5x", "x", None, p(5)),
            ("\x04FF8000x", "x", rgb(255, 128, 0), None),
            ("\x04ff8000,000001x", "x", rgb(255, 128, 0), rgb(0, 0, 1)),
            ("\x04FF80x", "FF80x", None, None),
            ("\x04é1234", "é1234", None, None),
            ("\x034\x03x", "x", None, None),
        ] {
            assert_eq!(
                runs(text),
                [(
                    plain.to_owned(),
                    Style {
                        fg,
                        bg,
                        ..Style::default()
                    }
                )],
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in [
            "plain",
            "\x02bold\x02 \x1dit\x1d",
            "\x0304\x02\x027 of 9",
            "\x0304\x02\x02,5",
            "\x0304,05red\x03 9",
            "\x04FF0000\x02\x02,00FF00\x04x",
            "\x0304a\x0399,02b\x04112233c\x04112233,445566d\x0307e\x03f",
            "\x02\x0304a\x03b\x0fc",
            "\x04112233,445566a\x0399b",
            "\x16\x0301a\x03\x02\x021",
        ] {
            let read = parse(text);
            let written = render(&read);
            assert_eq!(parse(&written), read, "{text:?} became {written:?}");
        }
    }

    #[test]
    fn stripping() {
        assert_eq!(strip("\x02b\x0304,05c\x04FF0000d\x0fe"), "bcde");
        assert!(matches!(strip("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_run_cannot_smuggle_codes() {
        let run = Run {
            text: "a\x02b".into(),
            style: Style::default(),
        };
        assert_eq!(render(&[run]), "ab");
    }

    #[test]
    fn ctcp() {
        assert_eq!(Ctcp::action("\x01ACTION waves \x01"), Some("waves "));
        assert_eq!(Ctcp::action("\x01action waves"), Some("waves"));
        assert_eq!(Ctcp::action("\x01ACTION\x01"), Some(""));
        assert_eq!(
            Ctcp::parse("\x01VERSION\x01"),
            Some(Ctcp {
                command: "VERSION",
                params: ""
            })
        );
        for not in [
            "",
            "ACTION x",
            "\x01",
            "\x01\x01",
            "\x01 x\x01",
            "\x01A\x01B C",
        ] {
            assert_eq!(Ctcp::parse(not), None, "{not:?}");
        }
        assert_eq!(action("wa\x01ves"), "\x01ACTION waves\x01");
        assert_eq!(
            Ctcp {
                command: "PING",
                params: ""
            }
            .render(),
            "\x01PING\x01"
        );
    }
}
