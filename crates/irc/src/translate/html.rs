//! Formatting codes as HTML (the Matrix subset) and back.

use std::borrow::Cow;

use crate::wire::format::{Colour, Run, Style, closing, parse, render};

/// Deepest nesting that is looked at; deeper tags are left out.
const DEEPEST: usize = 64;

/// The text without codes, and as HTML where it had any.
pub fn from_codes(text: &str) -> (String, Option<String>) {
    let runs = parse(text);
    if runs.iter().all(|run| run.style == Style::default()) {
        return (runs.iter().map(|r| &*r.text).collect(), None);
    }
    let (mut plain, mut html) = (String::new(), String::new());
    for run in &runs {
        plain.push_str(&run.text);
        let style = run.style;
        let tags = [
            (style.bold, "b"),
            (style.italic, "i"),
            (style.underline, "u"),
            (style.strike, "del"),
            (style.mono, "code"),
        ];
        let colour = style.fg.and_then(hex);
        if let Some(colour) = &colour {
            html.push_str("<span data-mx-color=\"");
            html.push_str(colour);
            html.push_str("\">");
        }
        let on: Vec<&str> = tags.iter().filter(|t| t.0).map(|t| t.1).collect();
        for tag in &on {
            html.push('<');
            html.push_str(tag);
            html.push('>');
        }
        escape(&run.text, &mut html);
        for tag in on.iter().rev() {
            html.push_str("</");
            html.push_str(tag);
            html.push('>');
        }
        if colour.is_some() {
            html.push_str("</span>");
        }
    }
    (plain, Some(html))
}

/// Writes text into HTML; line ends become `<br>`.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("<br>"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}

/// The sixteen colours that every client has.
const PALETTE: [&str; 16] = [
    "#ffffff", "#000000", "#00007f", "#009300", "#ff0000", "#7f0000", "#9c009c", "#fc7f00",
    "#ffff00", "#00fc00", "#009393", "#00ffff", "#0000fc", "#ff00ff", "#7f7f7f", "#d2d2d2",
];

fn hex(colour: Colour) -> Option<String> {
    match colour {
        Colour::Palette(n) => PALETTE.get(usize::from(n)).map(|s| (*s).to_owned()),
        Colour::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
    }
}

/// HTML as text with codes. Generous: unknown tags are left out, their text stays; a line end for each block.
pub fn to_codes(html: &str) -> String {
    let mut runs: Vec<Run<'static>> = Vec::new();
    let mut open: Vec<(String, Style, Option<String>)> = Vec::new();
    let mut style = Style::default();
    let mut rest = html;
    let mut quiet = 0usize;
    while !rest.is_empty() {
        let Some((text, after)) = rest.split_once('<') else {
            push(&mut runs, &entities(rest), style, quiet);
            break;
        };
        push(&mut runs, &entities(text), style, quiet);
        let begins = after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        let Some((tag, tail)) = after.split_once('>').filter(|_| begins) else {
            push(&mut runs, "<", style, quiet);
            rest = after;
            continue;
        };
        rest = tail;
        let closing = tag.starts_with('/');
        let body = tag.trim_start_matches('/').trim_end_matches('/');
        let name = body.split([' ', '\n', '\t']).next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "br" | "hr" => line_end(&mut runs, true),
            "mx-reply" | "script" | "style" => {
                quiet = if closing {
                    quiet.saturating_sub(1)
                } else {
                    quiet + 1
                };
            }
            _ if closing => {
                if let Some(at) = open.iter().rposition(|(n, ..)| *n == name) {
                    let link = open.get(at).and_then(|o| o.2.clone());
                    if let Some((_, before, _)) = open.drain(at..).next() {
                        style = before;
                    }
                    if let Some(link) = link.filter(|l| !ends_with(&runs, l)) {
                        push(&mut runs, &format!(" <{link}>"), style, quiet);
                    }
                }
                if is_block(&name) {
                    line_end(&mut runs, false);
                }
            }
            _ => {
                if is_block(&name) {
                    line_end(&mut runs, false);
                }
                if open.len() < DEEPEST {
                    let link = (name == "a").then(|| attribute(body, "href")).flatten();
                    let link = link.filter(|l| l.contains("://") && !l.contains("matrix.to"));
                    open.push((name.clone(), style, link));
                    styled(&name, body, &mut style);
                }
                match name.as_str() {
                    "li" => push(&mut runs, "• ", style, quiet),
                    "blockquote" => push(&mut runs, "> ", style, quiet),
                    _ => {}
                }
            }
        }
    }
    let text = render(&runs);
    let mut text = text.trim_end_matches('\n').to_owned();
    // People add to what they quote: nothing stays open at the end.
    let last = parse(&text).last().map(|run| run.style).unwrap_or_default();
    if last != Style::default() {
        text.push(closing(last));
    }
    text
}

fn styled(name: &str, body: &str, style: &mut Style) {
    match name {
        "b" | "strong" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => style.bold = true,
        "i" | "em" | "cite" => style.italic = true,
        "u" | "ins" => style.underline = true,
        "del" | "s" | "strike" => style.strike = true,
        "code" | "tt" => style.mono = true,
        "span" | "font" => {
            let named = ["data-mx-color", "color"];
            let colour = named.iter().find_map(|key| attribute(body, key));
            if let Some(colour) = colour.as_deref().and_then(colour_of) {
                style.fg = Some(colour);
            }
        }
        _ => {}
    }
}

fn colour_of(text: &str) -> Option<Colour> {
    let folded = text.to_ascii_lowercase();
    if let Some(at) = PALETTE.iter().position(|p| *p == folded) {
        return u8::try_from(at).ok().map(Colour::Palette);
    }
    let digits = folded.strip_prefix('#').filter(|d| d.len() == 6)?;
    let [_, r, g, b] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(Colour::Rgb(r, g, b))
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "li"
            | "ul"
            | "ol"
            | "blockquote"
            | "pre"
            | "tr"
            | "table"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
    )
}

fn attribute(body: &str, key: &str) -> Option<String> {
    let (_, after) = body.split_once(&format!("{key}="))?;
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = after.get(1..)?.split(quote).next()?;
    Some(entities(value).into_owned())
}

fn push(runs: &mut Vec<Run<'static>>, text: &str, style: Style, quiet: usize) {
    if text.is_empty() || quiet > 0 {
        return;
    }
    match runs.last_mut().filter(|last| last.style == style) {
        Some(last) => last.text.to_mut().push_str(text),
        None => runs.push(Run {
            text: Cow::Owned(text.to_owned()),
            style,
        }),
    }
}

/// Whether the text so far ends so; only its end is looked at.
fn ends_with(runs: &[Run<'_>], mut end: &str) -> bool {
    for run in runs.iter().rev() {
        match end.strip_suffix(&*run.text) {
            Some(rest) => end = rest,
            None => return run.text.ends_with(end),
        }
    }
    end.is_empty()
}

fn line_end(runs: &mut Vec<Run<'static>>, always: bool) {
    let Some(last) = runs.last_mut() else { return };
    if always || !last.text.ends_with('\n') {
        last.text.to_mut().push('\n');
    }
}

fn entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, tail) = match after.split_once(';') {
            Some((name, tail)) if name.len() <= 8 => (name, tail),
            _ => {
                out.push('&');
                rest = after;
                continue;
            }
        };
        let number = name
            .strip_prefix('#')
            .and_then(|n| match n.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => n.parse().ok(),
            });
        let c = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            "nbsp" => Some('\u{a0}'),
            _ => number.and_then(char::from_u32).filter(|c| !c.is_control()),
        };
        match c {
            Some(c) => out.push(c),
            None => {
                out.push('&');
                out.push_str(name);
                out.push(';');
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_html_and_back() {
        let (plain, html) = from_codes("a \x02bold\x02 <b> \x1dit\x0f");
        assert_eq!(plain, "a bold <b> it");
        let html = html.unwrap();
        assert_eq!(html, "a <b>bold</b> &lt;b&gt; <i>it</i>");
        assert_eq!(to_codes(&html), "a \x02bold\x02 <b> \x1dit\x1d");
        assert_eq!(from_codes("plain").1, None);
    }

    #[test]
    fn blocks_are_lines_links_are_kept_and_scripts_are_not() {
        let html = "<p>one</p><ul><li>two</li><li><a href=\"https://x.y/z\">three</a></li></ul><script>no</script>";
        assert_eq!(to_codes(html), "one\n• two\n• three <https://x.y/z>");
        assert_eq!(to_codes("a<br>b &amp; c &#33; &bad;"), "a\nb & c ! &bad;");
        assert_eq!(to_codes("5 < 6 & <"), "5 < 6 & <");
    }
}
