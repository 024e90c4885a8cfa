//! Names and media types of files: what may be shown in place, and how a name travels.

/// Bytes of a file's name.
const LONGEST: usize = 180;

/// A name without what could be taken for a path, a control, or another name.
pub fn sanitised(name: &str) -> String {
    let last = name
        .rsplit(['/', '\\'])
        .find(|p| !p.trim().is_empty())
        .unwrap_or_default();
    let kept: String = last
        .chars()
        .filter(|c| !c.is_control() && !is_hidden(*c))
        .collect();
    let kept = kept.trim().trim_start_matches('.');
    // The end says what kind of file it is: a long name loses its middle.
    let mut out = String::new();
    if kept.len() > LONGEST {
        let (stem, end) = kept
            .rsplit_once('.')
            .filter(|(_, e)| e.len() <= 16)
            .unwrap_or((kept, ""));
        out.extend(stem.chars().scan(0, |n, c| {
            *n += c.len_utf8();
            (*n <= LONGEST - 20).then_some(c)
        }));
        if !end.is_empty() {
            out.push('.');
            out.push_str(end);
        }
    } else {
        out.push_str(kept);
    }
    if out.is_empty() { "file".into() } else { out }
}

/// Marks that change how text around them is shown.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// A media type without parameters, if the text is one.
pub fn media_type(text: &str) -> Option<String> {
    let essence = text.split(';').next()?.trim().to_ascii_lowercase();
    let (kind, sub) = essence.split_once('/')?;
    let token = |t: &str| {
        (1..=64).contains(&t.len())
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    (token(kind) && token(sub)).then_some(essence)
}

/// Whether a browser may show it in place: pictures, sound and film that can't carry scripts.
pub fn is_safe(media_type: &str) -> bool {
    matches!(
        media_type,
        "image/png"
            | "image/jpeg"
            | "image/gif"
            | "image/webp"
            | "image/avif"
            | "image/heic"
            | "image/bmp"
            | "audio/mpeg"
            | "audio/ogg"
            | "audio/opus"
            | "audio/mp4"
            | "audio/aac"
            | "audio/wav"
            | "audio/webm"
            | "audio/flac"
            | "audio/x-m4a"
            | "audio/amr"
            | "video/mp4"
            | "video/webm"
            | "video/ogg"
            | "video/quicktime"
            | "video/3gpp"
    )
}

/// Percent-encoding of everything but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `Content-Disposition` (RFC 6266).
pub fn header(name: &str, media_type: Option<&str>) -> String {
    let kind = if media_type.is_some_and(is_safe) {
        "inline"
    } else {
        "attachment"
    };
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii() && !matches!(c, '"' | '\\' | '%') && !c.is_control() {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!(
        "{kind}; filename=\"{plain}\"; filename*=UTF-8''{}",
        encode(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless() {
        for (name, kept) in [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\a\\b.txt", "b.txt"),
            ("a/", "a"),
            (".htaccess", "htaccess"),
            ("\u{202E}gpj.exe\r\n", "gpj.exe"),
            ("Grüße an alle.pdf", "Grüße an alle.pdf"),
            ("...", "file"),
            ("", "file"),
        ] {
            assert_eq!(sanitised(name), kept, "{name:?}");
        }
        let long = sanitised(&format!("{}.tar.gz", "ä".repeat(400)));
        assert!(long.len() <= LONGEST && long.ends_with(".gz"), "{long}");
    }

    #[test]
    fn only_what_has_no_scripts_is_shown_in_place() {
        assert_eq!(
            media_type("Text/HTML; charset=utf-8").as_deref(),
            Some("text/html")
        );
        for bad in ["html", "a/b/c", "text/ht\nml", "/", "text/"] {
            assert_eq!(media_type(bad), None, "{bad:?}");
        }
        for unsafe_type in [
            "text/html",
            "image/svg+xml",
            "application/pdf",
            "text/xml",
            "application/xhtml+xml",
        ] {
            assert!(
                header("x", Some(unsafe_type)).starts_with("attachment;"),
                "{unsafe_type}"
            );
        }
        assert!(header("x", None).starts_with("attachment;"));
        assert_eq!(
            header("ü\"x.png", Some("image/png")),
            "inline; filename=\"__x.png\"; filename*=UTF-8''%C3%BC%22x.png"
        );
    }
}
