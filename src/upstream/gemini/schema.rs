//! JSON schemas as Google takes them in `parametersJsonSchema` and `responseJsonSchema`: any, says its reference, but
//! for what is mended here. <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>

use serde_json::{Map, Value, json};

/// Keywords whose value is one schema, a list of them, or a table of them.
const SCHEMAS: [&str; 10] =
    ["items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties", "not", "contains", "if", "then"];
const TABLES: [&str; 3] = ["properties", "patternProperties", "$defs"];

/// `schema` with the same meaning, in the words that Google knows:
/// - `$schema` says nothing to it and is left out;
/// - beside a `$ref` only what begins with `$` may stand;
/// - `definitions` are `$defs`, `const` is an `enum` of one, and an `allOf` of one is what it holds.
pub(super) fn cleaned(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let refers = fields.contains_key("$ref");
    let kept = fields
        .iter()
        .filter(|(name, _)| *name != "$schema" && (!refers || name.starts_with('$') || *name == "definitions"));
    let mut out = Map::with_capacity(fields.len());
    for (name, value) in kept {
        keyword(name, value, &mut out);
    }
    Value::Object(out)
}

fn keyword(name: &str, value: &Value, out: &mut Map<String, Value>) {
    match (name, value) {
        ("definitions", _) => keyword("$defs", value, out),
        ("$ref", Value::String(to)) => put(out, name, to.replace("#/definitions/", "#/$defs/").into()),
        ("const", _) => put(out, "enum", json!([value])),
        ("allOf", Value::Array(all)) if all.len() == 1 => match cleaned(&all[0]) {
            Value::Object(fields) => out.extend(fields),
            other => put(out, name, json!([other])),
        },
        (_, Value::Object(table)) if TABLES.contains(&name) => {
            let table: Map<_, _> = table.iter().map(|(key, schema)| (key.clone(), cleaned(schema))).collect();
            put(out, name, table.into());
        }
        (_, Value::Array(list)) if SCHEMAS.contains(&name) => put(out, name, list.iter().map(cleaned).collect()),
        _ if SCHEMAS.contains(&name) => put(out, name, cleaned(value)),
        _ => put(out, name, value.clone()),
    }
}

fn put(out: &mut Map<String, Value>, name: &str, value: Value) {
    out.insert(name.to_owned(), value);
}
