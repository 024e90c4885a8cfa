//! A setting that the operator can change while the node runs. What is under way goes on with what it read.

use std::sync::Arc;

use parking_lot::RwLock;

/// A setting.
#[derive(Debug)]
pub struct Setting<T>(RwLock<Arc<T>>);

impl<T> Setting<T> {
    /// With its first value.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        self.0.read().clone()
    }

    /// Another value from now on.
    pub fn set(&self, value: T) {
        *self.0.write() = Arc::new(value);
    }
}
