//! XEP-0393 message styling ↔ the HTML subset that core keeps.

/// The HTML of a styled text, or `None` where nothing is styled.
pub fn to_html(text: &str) -> Option<String> {
    if !text.contains(['*', '_', '~', '`']) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 32);
    let mut styled = false;
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        // §5.1.1: a block of code runs to its end or to the end of the text.
        if line.starts_with("```") {
            styled = true;
            out.push_str("<pre><code>");
            for line in lines.by_ref() {
                if line == "```" {
                    break;
                }
                escape(line, &mut out);
                out.push('\n');
            }
            out.push_str("</code></pre>");
            continue;
        }
        styled |= spans(line, &mut out, 0);
        if lines.peek().is_some() {
            out.push_str("<br>");
        }
    }
    styled.then_some(out)
}

/// §6: a span opens after space or at the start, closes before the end of the line, and is not empty.
fn spans(line: &str, out: &mut String, depth: usize) -> bool {
    let mut styled = false;
    let mut rest = line;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let tag = match c {
            '*' => Some("strong"),
            '_' => Some("em"),
            '~' => Some("del"),
            '`' => Some("code"),
            _ => None,
        };
        let opens = before.is_whitespace() || "*_~([{\"'".contains(before);
        let inside = tag.filter(|_| opens && depth < 4 && !after.starts_with(char::is_whitespace));
        if let Some(tag) = inside
            && let Some(end) = closing(after, c)
        {
            let (span, tail) = after.split_at(end);
            out.push_str(&format!("<{tag}>"));
            if c == '`' {
                escape(span, out);
            } else {
                spans(span, out, depth + 1);
            }
            out.push_str(&format!("</{tag}>"));
            styled = true;
            rest = tail.get(1..).unwrap_or_default();
            before = c;
            continue;
        }
        escape(rest.get(..c.len_utf8()).unwrap_or_default(), out);
        rest = after;
        before = c;
    }
    styled
}

/// Where the span that is open ends: a mark not after space, with something before it.
fn closing(text: &str, mark: char) -> Option<usize> {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == mark && at > 0 && !before.is_whitespace() {
            return Some(at);
        }
        before = c;
    }
    None
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

/// Styled text of HTML that core keeps: marks for what styling has, the bare text of everything else.
pub fn from_html(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut links: Vec<Option<String>> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        unescape(text, &mut out);
        let Some(end) = tag.find('>') else {
            rest = "";
            break;
        };
        let inner = tag.get(1..end).unwrap_or_default();
        rest = tag.get(end + 1..).unwrap_or_default();
        let close = inner.starts_with('/');
        let name: String = inner
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        match name.as_str() {
            "strong" | "b" => out.push('*'),
            "em" | "i" => out.push('_'),
            "del" | "s" | "strike" => out.push('~'),
            "code" if !out.ends_with("```\n") => out.push('`'),
            "pre" if close => {
                // The mark of an inner </code> makes place for that of the block.
                let end = out.trim_end_matches('`').trim_end_matches('\n').len();
                out.truncate(end);
                out.push_str("\n```");
            }
            "pre" => out.push_str("```\n"),
            "br" => out.push('\n'),
            "p" | "div" | "li" if close => out.push('\n'),
            "li" => out.push_str("- "),
            "blockquote" if !close => out.push_str("> "),
            "a" if !close => links.push(href(inner)),
            "a" => {
                if let Some(Some(url)) = links.pop()
                    && !out.ends_with(&url)
                {
                    out.push_str(&format!(" ({url})"));
                }
            }
            _ => {}
        }
    }
    unescape(rest, &mut out);
    out.truncate(out.trim_end_matches('\n').len());
    out
}

fn href(tag: &str) -> Option<String> {
    let at = tag.find("href=")? + 5;
    let quoted = tag.get(at..)?;
    let quote = quoted.chars().next().filter(|c| "\"'".contains(*c))?;
    let url = quoted.get(1..)?.split(quote).next()?;
    let mut out = String::new();
    unescape(url, &mut out);
    Some(out)
}

fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        out.push_str(before);
        let known = [
            ("&amp;", '&'),
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&quot;", '"'),
            ("&#39;", '\''),
            ("&nbsp;", '\u{a0}'),
        ];
        match known.iter().find(|(name, _)| entity.starts_with(name)) {
            Some((name, c)) => {
                out.push(*c);
                rest = entity.get(name.len()..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = entity.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styling_and_html() {
        for (styled, html) in [
            ("*bold* and _it_", "<strong>bold</strong> and <em>it</em>"),
            (
                "~gone~ `a*b*c<d>`",
                "<del>gone</del> <code>a*b*c&lt;d&gt;</code>",
            ),
            ("*a _b_*\nc", "<strong>a <em>b</em></strong><br>c"),
            ("```\nx < y\n```", "<pre><code>x &lt; y\n</code></pre>"),
        ] {
            assert_eq!(to_html(styled).as_deref(), Some(html));
            assert_eq!(from_html(html), styled);
        }
        for plain in ["2*3*4", "* x *", "snake_case_name", "**", "no", "`", "*a"] {
            assert_eq!(to_html(plain), None, "{plain}");
        }
        assert_eq!(
            from_html("<p>see <a href=\"https://x.org/?a&amp;b\">this</a></p>"),
            "see this (https://x.org/?a&b)"
        );
        assert_eq!(from_html("a < b <unclosed"), "a ");
    }
}
