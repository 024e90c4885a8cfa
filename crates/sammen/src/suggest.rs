//! "Did you mean": what is wrong in the configuration, with its line and what was probably meant.

/// The error as text, with the line and, for an unknown key or word, the known one that is nearest.
pub fn explain(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let mut said = error.to_string().trim_end().to_owned();
    if let Some(near) = suggestion(error.message()) {
        said.push_str(&format!("\ndid you mean `{near}`?"));
    }
    // The parser's own text has the line for all errors that have a place.
    if let (Some(span), false) = (error.span(), said.contains("line ")) {
        let line = text
            .get(..span.start)
            .map_or(1, |before| before.matches('\n').count() + 1);
        said = format!("line {line}: {said}");
    }
    anyhow::anyhow!(said)
}

/// From "unknown field `a`, expected one of `b`, `c`" the word that is nearest to `a`.
fn suggestion(message: &str) -> Option<String> {
    let rest = message
        .strip_prefix("unknown field ")
        .or_else(|| message.strip_prefix("unknown variant "))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let wrong = words.next()?;
    let most = (wrong.chars().count() / 3).max(1) + 1;
    words
        .map(|known| (strsim::damerau_levenshtein(wrong, known), known))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named() {
        let of = |wrong: &str| {
            suggestion(&format!(
                "unknown field `{wrong}`, expected one of `domain`, `data`, `limits`"
            ))
        };
        assert_eq!(of("domian").as_deref(), Some("domain"));
        assert_eq!(of("limit").as_deref(), Some("limits"));
        assert_eq!(of("zebra"), None);
        assert_eq!(suggestion("invalid type"), None);
    }
}
