//! What must not turn up in an error, and how it is taken out of one.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

/// Shorter configured values are no secrets, and replacing them would garble texts.
const MIN_SECRET: usize = 6;
/// So many passing secrets are remembered: what is sent has one of the last few.
const PASSING: usize = 8;
/// Hexadecimal digits of a signature of Signature Version 4.
const SIGNATURE: usize = 64;
const REDACTED: &[u8] = b"[redacted]";

/// The secrets of one provider.
#[derive(Debug, Default)]
pub struct Secrets {
    /// As they are configured.
    lasting: Vec<SecretString>,
    /// Made of those on the way, such as access tokens; the oldest first.
    passing: Mutex<VecDeque<SecretString>>,
    /// Requests are signed, each with a signature of its own.
    signs: bool,
}

impl Secrets {
    /// `signs`: what looks like a request's signature is one.
    pub fn new(lasting: Vec<SecretString>, signs: bool) -> Self {
        Self { lasting, signs, passing: Mutex::default() }
    }

    /// From here on `secret` is one too.
    pub fn learn(&self, secret: impl Into<SecretString>) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        if passing.len() == PASSING {
            passing.pop_front();
        }
        passing.push_back(secret.into());
    }

    /// `text` without any of them.
    pub fn redacted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text.as_bytes());
        let passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in self.lasting.iter().chain(&*passing).map(|secret| secret.expose_secret().as_bytes()) {
            if secret.len() >= MIN_SECRET {
                replace(&mut clean, |rest| length_at(rest, secret));
            }
        }
        if self.signs {
            replace(&mut clean, signature_at);
        }
        match clean {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // What is replaced begins and ends with whole characters.
            Cow::Owned(clean) => String::from_utf8_lossy(&clean).into_owned().into(),
        }
    }
}

/// Replaces each part that `length_at` finds at the beginning of what is left.
fn replace(text: &mut Cow<'_, [u8]>, length_at: impl Fn(&[u8]) -> Option<usize>) {
    let mut at = 0;
    while at < text.len() {
        if let Some(length) = length_at(&text[at..]) {
            text.to_mut().splice(at..at + length, REDACTED.iter().copied());
            at += REDACTED.len();
        } else {
            at += 1;
        }
    }
}

/// How long `secret` is where `text` begins with it, each of its bytes as it is or percent-encoded.
fn length_at(text: &[u8], secret: &[u8]) -> Option<usize> {
    let mut at = 0;
    for &byte in secret {
        at += match text[at..] {
            [b'%', high, low, ..] if decoded(high, low) == Some(byte) => 3,
            [first, ..] if first == byte => 1,
            _ => return None,
        };
    }
    Some(at)
}

fn decoded(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(16 * digit(high)? + digit(low)?).ok()
}

/// How many hexadecimal digits `text` begins with, where they are as many as a signature's.
fn signature_at(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    Some(digits).filter(|digits| *digits >= SIGNATURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_as_it_is_and_percent_encoded() {
        let secrets = Secrets::new(vec!["sk/a+b=%41".into(), "short".into()], false);
        for (text, clean) in [
            ("ü sk/a+b=%41 ü", "ü [redacted] ü"),
            ("?key=sk%2Fa%2bb%3D%2541&x", "?key=[redacted]&x"),
            ("sk/a+b=%41sk/a+b=%41", "[redacted][redacted]"),
            ("sk/a+b=%4", "sk/a+b=%4"),
            ("short", "short"),
        ] {
            assert_eq!(secrets.redacted(text), clean);
        }
    }

    #[test]
    fn signatures_and_the_newest_passing_secrets_are_taken_out() {
        let (secrets, signature) = (Secrets::new(vec![], true), "0f".repeat(32));
        assert_eq!(secrets.redacted(&format!("Signature={signature}.")), "Signature=[redacted].");
        assert_eq!(secrets.redacted(&signature[1..]), signature[1..]);
        (0..=PASSING).for_each(|n| secrets.learn(format!("token-{n}")));
        assert_eq!(secrets.redacted("token-0 token-1 token-8"), "token-0 [redacted] [redacted]");
    }
}
