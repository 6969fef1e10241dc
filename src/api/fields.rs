//! How objects are written: a field that says nothing is left out. And what is said where none was read.

use std::str::Utf8Error;

use serde_json::Value;

use super::error::BadRequest;

/// A body that is no text.
pub fn no_text(error: Utf8Error) -> BadRequest {
    BadRequest::body(format!("the body is not UTF-8 (byte {}); send JSON in UTF-8", error.valid_up_to()))
}

/// A body that serde reads no object from.
pub fn no_object(body: &[u8], error: &serde_json::Error) -> BadRequest {
    let problem = || BadRequest::body(format!("the body is not a JSON object: {error}; send one"));
    std::str::from_utf8(body).map_or_else(no_text, |_| problem())
}

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
