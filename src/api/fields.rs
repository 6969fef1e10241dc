//! How objects are written: a field that says nothing is left out.

use serde_json::Value;

/// An object of the fields that are not null.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect())
}
