//! Markdown as people type it, as the small set of HTML that core's messages have. Raw HTML in it stays text.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// The HTML of a Markdown text; `None` where it has no markup, so that plain text stays plain.
pub fn html(source: &str) -> Option<String> {
    let mut out = String::with_capacity(source.len() * 2);
    let mut marked = false;
    let mut paragraphs = 0;
    // Links and pictures that may not be followed leave their text.
    let mut dropped: Vec<bool> = Vec::new();
    for event in Parser::new_ext(source, Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Paragraph) => {
                paragraphs += 1;
                out.push_str("<p>");
            }
            Event::End(TagEnd::Paragraph) => out.push_str("</p>"),
            Event::Text(text) => escape(&text, &mut out),
            // A line end that was typed is meant.
            Event::SoftBreak | Event::HardBreak => out.push_str("<br>"),
            Event::Html(text) | Event::InlineHtml(text) => escape(&text, &mut out),
            Event::Code(text) => {
                marked = true;
                out.push_str("<code>");
                escape(&text, &mut out);
                out.push_str("</code>");
            }
            Event::Rule => {
                marked = true;
                out.push_str("<hr>");
            }
            Event::Start(tag @ (Tag::Link { .. } | Tag::Image { .. })) => {
                let target = match &tag {
                    Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => dest_url.as_ref(),
                    _ => "",
                };
                let safe = is_safe(target);
                dropped.push(!safe);
                if safe {
                    marked = true;
                    out.push_str("<a href=\"");
                    escape(target, &mut out);
                    out.push_str("\">");
                }
            }
            Event::End(TagEnd::Link | TagEnd::Image) if dropped.pop() == Some(false) => {
                out.push_str("</a>");
            }
            Event::Start(tag) => {
                marked |= open(&tag, &mut out);
            }
            Event::End(tag) => close(tag, &mut out),
            _ => {}
        }
    }
    // One paragraph without its frame, as chat has it.
    if paragraphs == 1
        && let Some(inside) = out.strip_prefix("<p>").and_then(|o| o.strip_suffix("</p>"))
    {
        out = inside.to_owned();
    }
    marked.then_some(out)
}

fn open(tag: &Tag<'_>, out: &mut String) -> bool {
    match tag {
        Tag::Emphasis => out.push_str("<em>"),
        Tag::Strong => out.push_str("<strong>"),
        Tag::Strikethrough => out.push_str("<del>"),
        Tag::BlockQuote(_) => out.push_str("<blockquote>"),
        Tag::Heading { level, .. } => out.push_str(&format!("<{level}>")),
        Tag::Item => out.push_str("<li>"),
        Tag::List(None) => out.push_str("<ul>"),
        Tag::List(Some(1)) => out.push_str("<ol>"),
        Tag::List(Some(start)) => out.push_str(&format!("<ol start=\"{start}\">")),
        Tag::CodeBlock(kind) => {
            out.push_str("<pre><code");
            if let CodeBlockKind::Fenced(language) = kind
                && let Some(word) = language.split_whitespace().next()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-#_.".contains(&b))
            {
                out.push_str(&format!(" class=\"language-{word}\""));
            }
            out.push('>');
        }
        _ => return false,
    }
    true
}

fn close(tag: TagEnd, out: &mut String) {
    match tag {
        TagEnd::Emphasis => out.push_str("</em>"),
        TagEnd::Strong => out.push_str("</strong>"),
        TagEnd::Strikethrough => out.push_str("</del>"),
        TagEnd::BlockQuote(_) => out.push_str("</blockquote>"),
        TagEnd::Heading(level) => out.push_str(&format!("</{level}>")),
        TagEnd::Item => out.push_str("</li>"),
        TagEnd::List(false) => out.push_str("</ul>"),
        TagEnd::List(true) => out.push_str("</ol>"),
        TagEnd::CodeBlock => out.push_str("</code></pre>"),
        _ => {}
    }
}

/// Links that lead somewhere and run nothing.
fn is_safe(target: &str) -> bool {
    let lower = target.to_ascii_lowercase();
    [
        "https://", "http://", "mailto:", "xmpp:", "matrix:", "ircs:", "irc:", "sip:",
    ]
    .iter()
    .any(|scheme| lower.starts_with(scheme))
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_html_and_plain_text_stays() {
        for (source, expected) in [
            ("hello", None),
            ("two\nlines", None),
            ("2 < 3 & \"x\"", None),
            (
                "**b** _i_ ~~s~~",
                Some("<strong>b</strong> <em>i</em> <del>s</del>"),
            ),
            ("`a<b`\nnext", Some("<code>a&lt;b</code><br>next")),
            (
                "[t](https://x.y/?a=\"b)",
                Some("<a href=\"https://x.y/?a=&quot;b\">t</a>"),
            ),
            ("[t](https://x.y)", Some("<a href=\"https://x.y\">t</a>")),
            ("- a\n- b", Some("<ul><li>a</li><li>b</li></ul>")),
            (
                "```rust\nfn x() {}\n```",
                Some("<pre><code class=\"language-rust\">fn x() {}\n</code></pre>"),
            ),
            (
                "> q\n\na",
                Some("<blockquote><p>q</p></blockquote><p>a</p>"),
            ),
        ] {
            assert_eq!(html(source).as_deref(), expected, "{source}");
        }
    }

    #[test]
    fn nothing_runs() {
        let text = "so <script>alert(1)</script> [x](javascript:alert(1)) ![y](data:text/html,1) **b** <img src=x onerror=1>";
        let html = html(text).unwrap();
        assert!(
            html.contains("&lt;script&gt;") && !html.contains("<script"),
            "{html}"
        );
        assert!(
            !html.contains("javascript:") && !html.contains("data:") && !html.contains("<img"),
            "{html}"
        );
    }
}
