//! What a page says of itself: OpenGraph (ogp.me), else the words of HTML. Only tokens are read and no tree is made, so
//! neither depth nor disorder costs anything.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// Characters of a title, a site's name; of a description.
const TITLE: usize = 200;
const DESCRIPTION: usize = 500;
/// Bytes of an attribute that is looked at.
const VALUE: usize = 4096;
/// Bytes that are read at a time, and of one tag: the attributes of a tag are compared with each other. At a longer one
/// the page ends.
const PIECE: usize = 4 << 10;
const TAG: usize = 16 << 10;

/// What a page says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its title.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The site's name.
    pub site: Option<String>,
    /// Where a picture of it is, as it stands there.
    pub picture: Option<String>,
}

/// How much a place is believed; lower is better.
type Rank = u8;

#[derive(Default)]
struct Found {
    title: Option<(Rank, String)>,
    description: Option<(Rank, String)>,
    site: Option<(Rank, String)>,
    picture: Option<(Rank, String)>,
    /// Within `<title>`.
    naming: Option<String>,
}

#[derive(Default)]
struct Reader {
    found: RefCell<Found>,
    /// How many tokens there were.
    tokens: Cell<usize>,
}

/// Reads a page, or its beginning. Blocking.
pub fn read(bytes: &[u8]) -> Said {
    let input = BufferQueue::default();
    let tokenizer = Tokenizer::new(Reader::default(), TokenizerOpts::default());
    let text = text(bytes);
    let (mut rest, mut mute, mut tokens) = (&*text, 0, 0);
    while !rest.is_empty() && mute < TAG {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = after;
        input.push_back(StrTendril::from_slice(piece));
        // It pauses at the end of each script, for who would run them.
        while !input.is_empty() {
            let _ = tokenizer.feed(&input);
        }
        let now = tokenizer.sink.tokens.get();
        mute = if now == tokens { mute + piece.len() } else { 0 };
        tokens = now;
    }
    tokenizer.end();
    let found = tokenizer.sink.found.take();
    let value = |field: Option<(Rank, String)>, most| {
        let text = tidy(&field?.1, most);
        (!text.is_empty()).then_some(text)
    };
    Said {
        title: value(found.title, TITLE),
        description: value(found.description, DESCRIPTION),
        site: value(found.site, TITLE),
        picture: found.picture.map(|(_, url)| url.trim().to_owned()),
    }
}

/// UTF-8, or what is not (but for a character that was cut off at the end) as Latin-1.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(bytes),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// One line of at most so many characters, which changes the direction of nothing around it.
fn tidy(text: &str, most: usize) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let words: String = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let mut plain = words.chars().filter(|c| !turns(*c));
    let mut out: String = plain.by_ref().take(most).collect();
    if plain.next().is_some() {
        out.push('…');
    }
    out
}

fn better(field: &mut Option<(Rank, String)>, rank: Rank, value: &str) {
    let known = field.as_ref().map_or(Rank::MAX, |(rank, _)| *rank);
    if rank < known && !value.trim().is_empty() {
        *field = Some((rank, value.to_owned()));
    }
}

impl Found {
    fn meta(&mut self, tag: &Tag) {
        let of = |name: &str| {
            let mut all = tag.attrs.iter();
            let found = all.find(|a| &*a.name.local == name);
            found.map(|a| &*a.value).filter(|v| v.len() <= VALUE)
        };
        let (Some(name), Some(value)) = (of("property").or(of("name")), of("content")) else {
            return;
        };
        match name.to_ascii_lowercase().as_str() {
            "og:title" => better(&mut self.title, 0, value),
            "twitter:title" => better(&mut self.title, 1, value),
            "og:description" => better(&mut self.description, 0, value),
            "twitter:description" => better(&mut self.description, 1, value),
            "description" => better(&mut self.description, 2, value),
            "og:site_name" => better(&mut self.site, 0, value),
            "og:image:secure_url" => better(&mut self.picture, 0, value),
            "og:image" | "og:image:url" => better(&mut self.picture, 1, value),
            "twitter:image" | "twitter:image:src" => better(&mut self.picture, 2, value),
            _ => {}
        }
    }
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        if !matches!(token, Token::ParseError(_)) {
            self.tokens.set(self.tokens.get() + 1);
        }
        let mut found = self.found.borrow_mut();
        match token {
            Token::CharacterTokens(text) => {
                if let Some(name) = found.naming.as_mut().filter(|n| n.len() < VALUE) {
                    name.push_str(&text);
                }
            }
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => match &*tag.name {
                "meta" => found.meta(&tag),
                "title" => {
                    found.naming = Some(String::new());
                    return TokenSinkResult::RawData(RawKind::Rcdata);
                }
                "textarea" => return TokenSinkResult::RawData(RawKind::Rcdata),
                "script" => return TokenSinkResult::RawData(RawKind::ScriptData),
                "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                    return TokenSinkResult::RawData(RawKind::Rawtext);
                }
                _ => {}
            },
            Token::TagToken(tag) if &*tag.name == "title" => {
                if let Some(name) = found.naming.take() {
                    better(&mut found.title, 2, &name);
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(html: &str) -> Said {
        read(html.as_bytes())
    }

    #[test]
    fn opengraph_is_believed_before_html() {
        let page = said(
            "<!doctype html><head><title>Plain &amp; simple</title>
            <meta name=description content='in HTML'>
            <meta property='og:title' content='A &quot;title&quot;'>
            <meta content=\"Words\n  about it\" property=og:description>
            <meta property=og:site_name content=Site><meta property='og:image' content='/a.png'></head>",
        );
        assert_eq!(page.title.as_deref(), Some("A \"title\""));
        assert_eq!(page.description.as_deref(), Some("Words about it"));
        assert_eq!(page.site.as_deref(), Some("Site"));
        assert_eq!(page.picture.as_deref(), Some("/a.png"));
        let plain = said("<title> Plain &amp;\n simple </title><meta name=description content=x>");
        assert_eq!(plain.title.as_deref(), Some("Plain & simple"));
        assert_eq!(plain.description.as_deref(), Some("x"));
        let svg = said("<title>Page</title><svg><title>Icon</title></svg>");
        assert_eq!(svg.title.as_deref(), Some("Page"), "the first title");
    }

    #[test]
    fn scripts_and_nonsense_say_nothing() {
        let script = "<script>'<meta property=og:title content=No>'</script><title>Yes</title>";
        assert_eq!(said(script).title.as_deref(), Some("Yes"));
        for nothing in [
            "",
            "hello",
            "<title></title>",
            "<meta property=og:title>",
            "\0<<<>>",
        ] {
            assert_eq!(said(nothing), Said::default(), "{nothing}");
        }
        let deep = "<div>".repeat(200_000);
        assert_eq!(said(&deep), Said::default());
    }

    #[test]
    fn a_page_ends_at_a_tag_that_is_too_long() {
        let many: String = (0..190_000).map(|n| format!("{n:x} ")).collect();
        let page = said(&format!(
            "<title>Before</title><meta property=og:title content=No {many}><meta property=og:title content=No>"
        ));
        assert_eq!(page.title.as_deref(), Some("Before"));
        // Long words, scripts and pages are no long tags.
        let long = "é".repeat(TAG);
        let page = said(&format!(
            "<title>{long}</title><script>{long}</script><p>{long}</p><meta name=description content=Yes>"
        ));
        assert_eq!(page.description.as_deref(), Some("Yes"));
        let fits = "x".repeat(VALUE);
        let page = said(&format!("<p>{long}<meta name=description content={fits}>"));
        assert_eq!(
            page.description.unwrap().len(),
            DESCRIPTION + '…'.len_utf8()
        );
    }

    #[test]
    fn words_are_short_and_of_any_alphabet() {
        let long = said(&format!("<title>{}</title>", "x".repeat(900)));
        assert_eq!(long.title.unwrap().chars().count(), TITLE + 1);
        assert_eq!(
            read(b"<title>Caf\xe9</title>").title.as_deref(),
            Some("Café")
        );
        assert_eq!(
            read("<title>Café</title>".as_bytes()).title.as_deref(),
            Some("Café")
        );
        let mut cut = "<title>Hi</title>é".as_bytes().to_vec();
        cut.pop();
        assert_eq!(read(&cut).title.as_deref(), Some("Hi"));
        let turned = said("<title>a\u{202e}b\u{7}c</title>");
        assert_eq!(turned.title.as_deref(), Some("ab c"));
    }
}
