//! `[matrix]`: how often Matrix apps may ask.

use sammen_matrix::Limits;
use sammen_net::Rate;
use serde::Deserialize;

/// Matrix.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Requests a second that one account may make for long; 0 means without limit. At once it may make four times as many,
    /// and a place where nobody is signed in a fifth.
    pub requests_per_second: u32,
}

impl Default for Matrix {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
        }
    }
}

impl Matrix {
    /// As the crate wants it.
    pub fn limits(&self) -> Limits {
        let rate = |per_second: u32, burst: u32| match self.requests_per_second {
            0 => Rate::UNLIMITED,
            _ => Rate { per_second, burst },
        };
        let each = self.requests_per_second;
        Limits {
            account: rate(each, each.saturating_mul(4)),
            place: rate((each / 5).max(1), each.saturating_mul(2)),
        }
    }
}
