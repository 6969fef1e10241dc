//! What is no longer configured, and may be configured again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is no longer configured, by name, the newest last: at most [`Self::MOST`], then the oldest is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retired<T>(Vec<(String, Arc<T>)>);

impl<T> Retired<T> {
    const MOST: usize = 64;

    pub fn put(&mut self, name: &str, state: Arc<T>) {
        self.0.push((name.to_owned(), state));
        if self.0.len() > Self::MOST {
            self.0.remove(0);
        }
    }

    pub fn take(&mut self, name: &str) -> Option<Arc<T>> {
        let place = self.0.iter().position(|(retired, _)| retired == name)?;
        Some(self.0.remove(place).1)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(retired, _)| retired == name)
    }

    /// The newest with such a name, which stays here.
    pub fn newest(&self, is_meant: impl Fn(&str) -> bool) -> Option<&Arc<T>> {
        self.0.iter().rev().find(|(retired, _)| is_meant(retired)).map(|(_, state)| state)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Arc<T>> {
        self.0.iter_mut().find(|(retired, _)| retired == name).map(|(_, state)| state)
    }
}

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
