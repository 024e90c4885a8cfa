//! The HTML that clients may show (client-server API, "m.room.message msgtypes"), made of whatever was sent.

use ruma::html::{Html, SanitizerConfig};

/// Longest markup, in bytes; of more only the plain text is kept.
const MOST: usize = 48 * 1024;
/// Most opening tags: a parser opens again in each paragraph what was left open before, so its work grows with their
/// square.
const TAGS: usize = 1000;

/// The allowed subset of a message's markup, without the quotation of what it answers; `None` where nothing is left of it
/// but text.
pub fn sanitised(html: &str) -> Option<String> {
    let opens = html
        .as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [b'<', next] if *next != b'/'));
    if html.len() > MOST || opens.count() > TAGS {
        return None;
    }
    let parsed = Html::parse(html);
    // What stands in these is no text.
    let unreadable = ["script", "style", "title", "textarea", "iframe", "template"];
    let config = SanitizerConfig::compat()
        .remove_reply_fallback()
        .remove_elements(unreadable);
    parsed.sanitize_with(&config);
    let clean = parsed.to_string();
    (clean.len() <= MOST && clean.contains('<') && !clean.trim().is_empty()).then_some(clean)
}

/// The text without the quotation of what it answers ("Fallbacks for rich replies").
pub fn without_quotation(text: &str) -> &str {
    let mut rest = text;
    while let Some(line) = rest.strip_prefix("> ").or_else(|| rest.strip_prefix(">\n")) {
        rest = match rest.strip_prefix(">\n") {
            Some(after) => after,
            None => line.split_once('\n').map_or("", |(_, after)| after),
        };
    }
    match rest.strip_prefix('\n') {
        Some(after) if rest.len() < text.len() => after,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allowed_subset_is_left() {
        let clean = sanitised(
            "<mx-reply>gone</mx-reply><b onclick='x()'>hi</b><script>evil()</script><a href=\"javascript:x\">l</a>",
        )
        .unwrap();
        assert!(clean.contains("<b>hi</b>"), "{clean}");
        for bad in ["onclick", "script>", "javascript", "gone", "evil"] {
            assert!(!clean.contains(bad), "{clean}");
        }
        assert_eq!(sanitised("plain"), None);
        assert_eq!(sanitised(&"x".repeat(MOST + 1)), None);
        // Deep, and wide times open: neither is parsed.
        assert_eq!(sanitised(&"<i>".repeat(16_000)), None);
        let open: String = (0..900).map(|n| format!("<b a={n}>")).collect();
        assert_eq!(
            sanitised(&format!("<p>{open}{}", "<p>x".repeat(6_000))),
            None
        );
        assert!(sanitised(&"<i>x</i>".repeat(TAGS)).is_some());
    }

    #[test]
    fn quotations_of_what_is_answered_go() {
        assert_eq!(without_quotation("> <@a:b> hi\n> there\n\nyes"), "yes");
        assert_eq!(without_quotation("yes\n> no"), "yes\n> no");
        assert_eq!(without_quotation("> only"), "");
        assert_eq!(without_quotation("\nyes"), "\nyes");
    }
}
