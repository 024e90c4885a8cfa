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

/// The file name of a `Content-Disposition` (RFC 6266 §4.3): `filename*` before `filename`. What is no UTF-8 is none.
pub fn filename(header: &str) -> Option<String> {
    let mut plain = None;
    for part in parameters(header).into_iter().skip(1) {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            // RFC 8187: charset'language'value.
            "filename*" => {
                let mut parts = value.splitn(3, '\'');
                let utf8 = parts
                    .next()
                    .is_some_and(|c| c.eq_ignore_ascii_case("utf-8"));
                if let Some(name) = parts.nth(1).filter(|_| utf8).and_then(decode) {
                    return Some(name);
                }
            }
            "filename" => plain = plain.or_else(|| Some(unquoted(value))),
            _ => {}
        }
    }
    plain
}

/// What stands between the semicolons that are outside of quotes.
fn parameters(header: &str) -> Vec<&str> {
    let (mut out, mut from) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in header.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                out.extend(header.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    out.extend(header.get(from..));
    out
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// Undoes [`encode`].
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_of_requests() {
        for (header, name) in [
            (
                "attachment; filename=\"picture.jpeg\"",
                Some("picture.jpeg"),
            ),
            ("attachment;filename=a.txt", Some("a.txt")),
            (
                "form-data; name=\"x\"; FileName=\"a;b \\\"c\\\".txt\"",
                Some("a;b \"c\".txt"),
            ),
            (
                "attachment; filename=\"euro.txt\"; filename*=UTF-8''%e2%82%ac.txt",
                Some("€.txt"),
            ),
            (
                "attachment; filename=\"a\"; filename*=latin1''%e4",
                Some("a"),
            ),
            ("attachment; filename=\"a\"; filename*=UTF-8''%f", Some("a")),
            ("attachment; filename=\"open", Some("open")),
            ("attachment", None),
            ("", None),
            (";=;filename", None),
        ] {
            assert_eq!(filename(header).as_deref(), name, "{header:?}");
        }
        let name = "Grüße \" an; alle.pdf";
        assert_eq!(filename(&super::header(name, None)).as_deref(), Some(name));
    }

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
