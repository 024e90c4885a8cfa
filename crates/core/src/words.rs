//! How search splits text into words, the same for every store.
//!
//! Letters are folded (case, accents, full-width forms). Scripts that don't put spaces between words (Chinese, Japanese,
//! Thai, Lao, Khmer, Burmese) are split into single characters, so that a word of one or two of them is found.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Most words of a search; further ones are ignored.
const MOST_WANTED: usize = 16;
/// Words of one phrase that are looked for: what is written without spaces can be as long as a message.
const MOST_IN_PHRASE: usize = 32;
/// A longer word is cut here.
const LONGEST: usize = 64;

/// Whether the script has no spaces, so that each character stands for itself.
fn stands_alone(c: char) -> bool {
    matches!(c as u32,
        0x0E00..=0x0EFF       // Thai, Lao
        | 0x1000..=0x109F     // Burmese
        | 0x1780..=0x17FF     // Khmer
        | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x31F0..=0x31FF // Kana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF // Han
    )
}

/// The words of a text, folded, in order. Each consists of letters and digits alone.
pub fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut length = 0;
    // Folded, then composed again so that Hangul stays in syllables.
    let folded = text.nfkd().filter(|c| !is_combining_mark(*c)).nfc();
    for c in folded.flat_map(char::to_lowercase) {
        if is_combining_mark(c) {
            continue;
        }
        if !c.is_alphanumeric() || stands_alone(c) {
            if !word.is_empty() {
                found.push(std::mem::take(&mut word));
                length = 0;
            }
            if c.is_alphanumeric() {
                found.push(c.to_string());
            }
        } else if length < LONGEST {
            word.push(c);
            length += 1;
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

/// What a person searches for: each word (or run of words written together, such as `foo-bar` or 会議) must occur, its
/// end may be unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    phrases: Vec<Vec<String>>,
}

impl Wanted {
    /// Understands what a person typed.
    pub fn new(typed: &str) -> Self {
        let phrases = typed.split_whitespace().map(|piece| {
            let mut phrase = words(piece);
            phrase.truncate(MOST_IN_PHRASE);
            phrase
        });
        Self {
            phrases: phrases
                .filter(|p| !p.is_empty())
                .take(MOST_WANTED)
                .collect(),
        }
    }

    /// The phrases: all have to occur; of each the last word may be the beginning of a longer one.
    pub fn phrases(&self) -> &[Vec<String>] {
        &self.phrases
    }

    /// Whether the text has it all. Nothing wanted is found nowhere.
    pub fn is_in(&self, text: &str) -> bool {
        let words = words(text);
        !self.phrases.is_empty() && self.phrases.iter().all(|p| has_phrase(&words, p))
    }
}

fn has_phrase(words: &[String], phrase: &[String]) -> bool {
    let Some((last, whole)) = phrase.split_last() else {
        return false;
    };
    words.windows(phrase.len()).any(|window| {
        window
            .split_last()
            .is_some_and(|(end, start)| start == whole && end.starts_with(last.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, typed: &str) -> bool {
        Wanted::new(typed).is_in(text)
    }

    #[test]
    fn words_are_folded() {
        assert_eq!(
            words("Grüße, ÉCOLE — ﬁne ＡＢＣ_x2"),
            ["gruße", "ecole", "fine", "abc", "x2"]
        );
        assert_eq!(words("e\u{301}te\u{301}"), words("été"));
        assert!(words(" \n!?🙂").is_empty());
    }

    #[test]
    fn beginnings_of_words_and_all_of_them_are_found() {
        assert!(finds("The meeting is at 7 in Köln", "koln meet"));
        assert!(!finds("The meeting is at 7", "meet tomorrow"));
        assert!(!finds("remeet", "meet"));
        assert!(finds("a-b test", "a"));
        assert!(!finds("anything", "?!"));
    }

    #[test]
    fn what_is_wanted_has_an_end() {
        let wanted = Wanted::new(&["word"; 10_000].join("-"));
        assert_eq!(wanted.phrases().len(), 1);
        assert_eq!(wanted.phrases()[0].len(), MOST_IN_PHRASE);
        assert!(finds("a-b c", &["a-b"; 100].join(" ")));
    }

    #[test]
    fn scripts_without_spaces_are_found_by_short_words() {
        assert!(finds("明日の会議は中止です", "会議"));
        assert!(!finds("議会は明日", "会議"));
        assert!(finds("학교에서 만나요", "학교"));
        assert!(finds("สวัสดีครับ", "ดีครับ"));
    }
}
