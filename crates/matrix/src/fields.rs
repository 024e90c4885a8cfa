//! Fields of JSON that may be there or not.

use serde_json::Value;

/// What stands nowhere.
static NOTHING: Value = Value::Null;

/// Reading and writing fields of objects without asking first whether they are objects.
pub trait Fields {
    /// A field; null where there is none.
    fn field(&self, name: &str) -> &Value;
    /// A text.
    fn word(&self, name: &str) -> Option<&str>;
    /// Sets a field; what is no object becomes one.
    fn put(&mut self, name: &str, value: impl Into<Value>);
}

impl Fields for Value {
    fn field(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&NOTHING)
    }

    fn word(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        if !self.is_object() {
            *self = Value::Object(serde_json::Map::new());
        }
        if let Value::Object(fields) = self {
            fields.insert(name.to_owned(), value.into());
        }
    }
}
