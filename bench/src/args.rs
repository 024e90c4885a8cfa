//! `--name value` flags.

use std::collections::HashMap;
use std::str::FromStr;

/// What was asked for on the command line.
pub struct Args {
    /// The work to do.
    pub work: String,
    flags: HashMap<String, String>,
}

impl Args {
    /// Reads `load WORK --flag value …`.
    pub fn read() -> Result<Self, String> {
        let mut words = std::env::args().skip(1);
        let work = words.next().ok_or("which work?")?;
        let mut flags = HashMap::new();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("not a flag: {word}"))?;
            let value = words
                .next()
                .ok_or_else(|| format!("--{name} needs a value"))?;
            flags.insert(name.to_owned(), value);
        }
        Ok(Self { work, flags })
    }

    /// A flag's value, or the default.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.flags.get(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("--{name} {text}: not understood")),
        }
    }

    /// A flag's text, or the default.
    pub fn text(&self, name: &str, default: &str) -> String {
        self.flags
            .get(name)
            .cloned()
            .unwrap_or_else(|| default.to_owned())
    }

    /// A list of numbers with commas.
    pub fn numbers(&self, name: &str) -> Result<Vec<u32>, String> {
        self.text(name, "")
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| {
                part.parse()
                    .map_err(|_| format!("--{name}: {part} is not a number"))
            })
            .collect()
    }
}
