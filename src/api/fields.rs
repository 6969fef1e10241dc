//! How objects are written: a field that says nothing is left out.

use serde_json::Value;

/// An object of the fields that are not null.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// `object` with one more field, where that says anything.
pub fn with(mut object: Value, name: &str, value: Option<&Value>) -> Value {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        object[name] = value.clone();
    }
    object
}
