//! Slack's incoming webhooks: `{"text": …}` with attachments and blocks, as JSON or as the form field `payload`.
//!
//! Text is Slack's mrkdwn: `*bold*`, `_italic_`, `~struck~`, `` `code` ``, `<https://…|label>`, `&amp; &lt; &gt;`.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;

use crate::problem::{Answer, Problem};

/// Blocks and attachments that are looked at.
const PARTS: usize = 50;

/// A post, in core's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Post {
    /// What it says.
    pub text: String,
    /// The same with markup, where there is any.
    pub html: Option<String>,
    /// Under which name.
    pub username: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    text: String,
    username: Option<String>,
    attachments: Vec<Attachment>,
    blocks: Vec<Block>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attachment {
    fallback: String,
    pretext: String,
    title: String,
    title_link: String,
    text: String,
    fields: Vec<Field>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Field {
    title: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block {
    text: Value,
    fields: Vec<Value>,
    elements: Vec<Value>,
}

/// The words of a text object, or of plain text.
fn words(value: &Value) -> &str {
    let inside = value.get("text").unwrap_or(value);
    inside.as_str().unwrap_or_default()
}

/// Reads a post.
///
/// # Errors
/// When it is no JSON or says nothing.
pub fn read(headers: &HeaderMap, body: &[u8]) -> Answer<Post> {
    let form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|t| t.to_str().ok())
        .is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
    let payload: Payload = if form {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let field = text
            .split('&')
            .find_map(|pair| pair.strip_prefix("payload="));
        let json = field.map(decoded).unwrap_or_default();
        serde_json::from_str(&json)
    } else {
        serde_json::from_slice(body)
    }
    .map_err(|e| Problem::bad_request(e.to_string()))?;
    let mut lines: Vec<String> = Vec::new();
    let mut line = |text: &str| {
        if !text.trim().is_empty() {
            lines.push(text.trim_end().to_owned());
        }
    };
    line(&payload.text);
    for block in payload.blocks.iter().take(PARTS) {
        line(words(&block.text));
        for field in block.fields.iter().take(PARTS) {
            line(words(field));
        }
        for element in block.elements.iter().take(PARTS) {
            line(words(element));
        }
    }
    for a in payload.attachments.iter().take(PARTS) {
        line(&a.pretext);
        match (a.title.is_empty(), a.title_link.is_empty()) {
            (false, false) => line(&format!("<{}|{}>", a.title_link, a.title)),
            _ => line(&a.title),
        }
        line(if a.text.is_empty() && a.title.is_empty() {
            &a.fallback
        } else {
            &a.text
        });
        for field in a.fields.iter().take(PARTS) {
            line(&format!("*{}* {}", field.title, field.value));
        }
    }
    if lines.is_empty() {
        return Err(Problem::invalid("text", "it says nothing"));
    }
    let source = lines.join("\n");
    let text = plain(&source);
    let html = html(&source);
    let username = payload
        .username
        .map(|n| {
            n.chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect::<String>()
        })
        .filter(|n| !n.trim().is_empty());
    Ok(Post {
        html: (html != escaped(&text).replace('\n', "<br>")).then_some(html),
        text,
        username,
    })
}

/// `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let text = std::str::from_utf8(&digits).unwrap_or("0");
                out.push(u8::from_str_radix(text, 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// The parts of `<…>`: a link and its label.
fn link(inside: &str) -> (String, String) {
    let (target, label) = inside.split_once('|').unwrap_or((inside, ""));
    let (target, label) = (unescaped(target), unescaped(label));
    match target.strip_prefix('!') {
        // <!here>, <!channel>, <!everyone>: said, not obeyed.
        Some(word) => (
            String::new(),
            format!("@{}", word.split('^').next().unwrap_or(word)),
        ),
        None => (target, label),
    }
}

fn is_safe(target: &str) -> bool {
    ["https://", "http://", "mailto:", "xmpp:"]
        .iter()
        .any(|s| target.starts_with(s))
}

fn pieces(source: &str) -> Vec<Result<&str, &str>> {
    let mut out = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find('<') {
        let (before, behind) = rest.split_at(at);
        out.push(Ok(before));
        match behind
            .get(1..)
            .and_then(|b| b.find('>'))
            .filter(|end| *end < 4096)
        {
            Some(end) => {
                out.push(Err(behind.get(1..=end).unwrap_or_default()));
                rest = behind.get(end + 2..).unwrap_or_default();
            }
            None => {
                out.push(Ok(behind));
                rest = "";
            }
        }
    }
    out.push(Ok(rest));
    out
}

fn plain(source: &str) -> String {
    let mut out = String::new();
    for piece in pieces(source) {
        match piece {
            Ok(text) => out.push_str(&unescaped(text)),
            Err(inside) => {
                let (target, label) = link(inside);
                match (target.is_empty(), label.is_empty()) {
                    (false, true) => out.push_str(&target),
                    (true, _) => out.push_str(&label),
                    (false, false) => out.push_str(&format!("{label} ({target})")),
                }
            }
        }
    }
    out.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

fn html(source: &str) -> String {
    let mut out = String::new();
    for piece in pieces(source) {
        match piece {
            Ok(text) => out.push_str(&styled(&escaped(&unescaped(text)))),
            Err(inside) => {
                let (target, label) = link(inside);
                let shown = if label.is_empty() { &target } else { &label };
                if is_safe(&target) {
                    out.push_str(&format!(
                        "<a href=\"{}\">{}</a>",
                        escaped(&target),
                        escaped(shown)
                    ));
                } else {
                    out.push_str(&escaped(shown));
                }
            }
        }
    }
    out.replace('\n', "<br>")
}

/// Marks around words, each inside one line.
fn styled(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(styled_line).collect();
    lines.join("\n")
}

fn styled_line(line: &str) -> String {
    let mut out = line.to_owned();
    for (mark, tag) in [('`', "code"), ('*', "strong"), ('_', "em"), ('~', "del")] {
        out = between(&out, mark, tag);
    }
    out
}

fn between(line: &str, mark: char, tag: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(mark) {
        let (before, behind) = rest.split_at(at);
        let inside = behind.get(1..).unwrap_or_default();
        let opens = before.chars().last().is_none_or(|c| !c.is_alphanumeric())
            && inside
                .chars()
                .next()
                .is_some_and(|c| !c.is_whitespace() && c != mark);
        let end = inside.find(mark).filter(|end| {
            let text = inside.get(..*end).unwrap_or_default();
            let after = inside.get(end + 1..).and_then(|t| t.chars().next());
            !text.ends_with(char::is_whitespace)
                && after.is_none_or(|c| !c.is_alphanumeric())
                && !text.contains("</")
        });
        out.push_str(before);
        match (opens, end) {
            (true, Some(end)) => {
                let text = inside.get(..end).unwrap_or_default();
                out.push_str(&format!("<{tag}>{text}</{tag}>"));
                rest = inside.get(end + 1..).unwrap_or_default();
            }
            _ => {
                out.push(mark);
                rest = inside;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(json: &str) -> Post {
        read(&HeaderMap::new(), json.as_bytes()).unwrap()
    }

    #[test]
    fn posts_of_tools_are_read() {
        assert_eq!(
            post(r#"{"text":"build 7 <https://ci.example/7|failed> &amp; *red*","username":"ci"}"#),
            Post {
                text: "build 7 failed (https://ci.example/7) & *red*".into(),
                html: Some(
                    "build 7 <a href=\"https://ci.example/7\">failed</a> &amp; <strong>red</strong>"
                        .into()
                ),
                username: Some("ci".into()),
            }
        );
        let rich = post(
            r#"{"attachments":[{"title":"T","title_link":"https://x.y","text":"body","fields":[{"title":"a","value":"b"}]}],
                "blocks":[{"type":"section","text":{"type":"mrkdwn","text":"first"}}]}"#,
        );
        assert_eq!(rich.text, "first\nT (https://x.y)\nbody\n*a* b");
        assert_eq!(post(r#"{"text":"plain"}"#).html, None);
    }

    #[test]
    fn nothing_in_it_becomes_a_tag_or_a_script() {
        let post = post(
            r#"{"text":"<javascript:alert(1)|x> &lt;script&gt; <b onclick=1> \"q\" <!channel> <unclosed"}"#,
        );
        let html = post.html.unwrap();
        assert!(
            !html.contains("javascript:alert(1)\"")
                && !html.contains("<script")
                && !html.contains("<b "),
            "{html}"
        );
        assert!(post.text.contains("@channel"), "{}", post.text);
    }

    #[test]
    fn forms_are_read_too() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded".parse().unwrap(),
        );
        let post = read(&headers, b"payload=%7B%22text%22%3A%22a+b%22%7D").unwrap();
        assert_eq!(post.text, "a b");
        assert!(read(&HeaderMap::new(), b"{}").is_err());
        assert!(read(&HeaderMap::new(), b"[").is_err());
    }
}
