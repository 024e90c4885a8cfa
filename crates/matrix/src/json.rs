//! JSON that one stranger hands to another through this node: bounded, so that it breaks nobody's parser.

use serde::Deserialize as _;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::fault::{Answer, Fault};

/// How deep objects and lists may lie in each other. Parsers of clients give up at a hundred or so, and then on the whole
/// answer that holds them.
const DEPTH: usize = 32;

/// An object of at most `most` bytes, not too deep, whose text every parser takes.
///
/// # Errors
/// M_TOO_LARGE, M_BAD_JSON.
pub fn object(raw: &RawValue, most: usize) -> Answer<Map<String, Value>> {
    if raw.get().len() > most {
        return Err(Fault::too_large());
    }
    let object = Map::deserialize(raw).map_err(|error| Fault::bad_json(error.to_string()))?;
    if object.values().any(|value| is_deep(value, DEPTH)) {
        return Err(Fault::bad_json("this is nested too deep"));
    }
    Ok(object)
}

fn is_deep(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if left == 0 => true,
        Value::Array(list) => list.iter().any(|v| is_deep(v, left - 1)),
        Value::Object(object) => object.values().any(|v| is_deep(v, left - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_others_is_refused() {
        let read = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            object(&raw, 1000).is_ok()
        };
        assert!(read(r#"{"a":[{"b":"ü"}],"n":-5}"#));
        let nested = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(DEPTH)));
        assert!(!read(&nested(DEPTH + 1)));
        assert!(!read(&nested(400)));
        for bad in ["[]", "1", r#""a""#, r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
            assert!(!read(bad), "{bad}");
        }
        assert!(!read(&format!(r#"{{"a":"{}"}}"#, "x".repeat(1000))));
    }
}
