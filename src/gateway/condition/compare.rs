//! Comparisons of a condition: a text that reads as a number, as metadata may, is one beside a number.

use std::cmp::Ordering;

use minijinja::Value;
use minijinja::value::ValueKind;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    NotIn,
}

impl Comparison {
    /// Of one word: not `not in`.
    pub(super) fn called(word: &str) -> Option<Self> {
        Some(match word {
            "==" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            "in" => Self::In,
            _ => return None,
        })
    }

    /// What is missing is neither above nor below anything.
    ///
    /// # Errors
    /// The two are not of one kind.
    pub(super) fn holds(self, left: &Value, right: &Value) -> Result<bool, String> {
        match self {
            Self::Equal => Ok(equal(left, right)),
            Self::Unequal => Ok(!equal(left, right)),
            Self::In => contains(right, left),
            Self::NotIn => contains(right, left).map(|is_in| !is_in),
            Self::Less => Ok(order(left, right)?.is_some_and(Ordering::is_lt)),
            Self::AtMost => Ok(order(left, right)?.is_some_and(Ordering::is_le)),
            Self::Greater => Ok(order(left, right)?.is_some_and(Ordering::is_gt)),
            Self::AtLeast => Ok(order(left, right)?.is_some_and(Ordering::is_ge)),
        }
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    let (left, right) = alike(left, right);
    left == right
}

fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    if is_missing(left) || is_missing(right) {
        return Ok(None);
    }
    let (left, right) = alike(left, right);
    // minijinja has an order of kinds too, in which any text is above any number.
    match left.kind() == right.kind() {
        true => Ok(Some(left.cmp(&right))),
        false => Err(format!("a {} is compared with a {}", left.kind(), right.kind())),
    }
}

fn is_missing(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// Whether an item is in a list, a key in a table, or a text in a text; what is missing is in nothing.
fn contains(container: &Value, item: &Value) -> Result<bool, String> {
    if is_missing(item) {
        return Ok(false);
    }
    match container.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::String => Ok(container.as_str().is_some_and(|text| text.contains(&item.to_string()))),
        ValueKind::Map => Ok(container.get_item(item).is_ok_and(|value| !value.is_undefined())),
        _ => {
            let mut items = container.try_iter().map_err(|_| format!("{} has nothing in it", container.kind()))?;
            Ok(items.any(|other| equal(&other, item)))
        }
    }
}

/// Two values; a text beside a number is the number that it reads as, if it reads as one.
fn alike(left: &Value, right: &Value) -> (Value, Value) {
    let beside = |value: &Value, other: &Value| match value.as_str() {
        Some(text) if other.kind() == ValueKind::Number => number(text).unwrap_or_else(|| value.clone()),
        _ => value.clone(),
    };
    (beside(left, right), beside(right, left))
}

fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().map(Value::from).ok();
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from))
}
