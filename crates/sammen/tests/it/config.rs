//! The sample configuration is true: it loads, and it says what holds without it.

use sammen::config::Config;
use sammen_core::Domain;

fn sample() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sammen.toml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_sample_loads_and_equals_what_holds_without_it() {
    let said = Config::parse(&sample()).unwrap();
    assert_eq!(said, Config::new(Domain::new("example.org").unwrap()));
}

#[test]
fn the_examples_in_the_sample_load_too() {
    // Lines of example begin with "#     "; prose begins with "# ".
    let text = sample();
    let mut examples = 0;
    let uncommented: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix("#     ") {
            Some(example) if example.starts_with("url") || example.starts_with("days") => {
                examples += 1;
                example.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(examples, 2);
    let config = Config::parse(&uncommented.join("\n")).unwrap();
    assert_eq!(config.retention.days, Some(365));
    assert!(config.http.url.is_some());
}

#[test]
fn every_key_of_the_sample_is_needed_to_be_spelled_right() {
    // Whichever key is misspelled, the error names its line and the right word.
    let text = sample();
    let mut tried = 0;
    for (n, line) in text.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        if !key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            continue;
        }
        let wrong = format!("{key}x");
        let changed: Vec<String> = text
            .lines()
            .enumerate()
            .map(|(at, line)| match at == n {
                true => line.replacen(key, &wrong, 1),
                false => line.to_owned(),
            })
            .collect();
        let error = format!("{:#}", Config::parse(&changed.join("\n")).unwrap_err());
        // Without its domain a file is wrong in another way too; which is said first is the parser's choice.
        let named =
            error.contains(&format!("line {}", n + 1)) && error.contains(&format!("`{key}`"));
        assert!(named, "{wrong}: {error}");
        tried += 1;
    }
    assert!(tried > 30, "{tried}");
}
