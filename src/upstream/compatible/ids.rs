//! Ids of calls, for who is strict about their form: those that other providers gave may be of any.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// So many digits a hash is good for.
const LONGEST: usize = 10;

/// An id of exactly `length` letters and digits: itself, or one that is always the same for it.
pub(in crate::upstream) fn exactly(id: &str, length: usize) -> String {
    if id.len() == length && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut rest = FixedState::default().hash_one(id);
    let digit = |_| {
        let digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
        char::from(digit)
    };
    (0..length.min(LONGEST)).map(digit).collect()
}

/// An id that is no longer than `max`: itself, or a short one that is always the same for it.
pub(in crate::upstream) fn within(id: &str, max: usize) -> String {
    if id.len() <= max { id.to_owned() } else { exactly(id, LONGEST) }
}
