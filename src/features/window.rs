//! Which parts of a conversation are looked at: everything is bounded, whatever a client sends.

use super::scan::Scan;
use crate::api::chat::{ChatRequest, Message};

/// Bytes of the conversation's beginning that are scanned for signals.
const SCAN_HEAD: usize = 48 << 10;
/// Bytes of its end.
const SCAN_TAIL: usize = 16 << 10;
/// Bytes of the system prompt's beginning that are embedded.
const INSTRUCTIONS: usize = 384;
/// Bytes of the newest user turn that are embedded, of its beginning and of its end.
const TURN_HALF: usize = 4 << 10;

/// What is embedded of a conversation: the beginning of its system prompt, and its newest user turn.
#[derive(Debug)]
pub struct Window<'a> {
    instructions: &'a str,
    turn_head: &'a str,
    turn_tail: &'a str,
}

impl<'a> Window<'a> {
    /// The window of a request. Without a user's message, the last message is the turn.
    pub fn of(request: &'a ChatRequest) -> Self {
        let messages = &request.messages;
        let is_user = |message: &Message| message.role == "user";
        let turn = messages.iter().rposition(is_user).unwrap_or(messages.len().saturating_sub(1));
        let instructions = messages.iter().take(turn).find(|m| matches!(m.role.as_str(), "system" | "developer"));
        let (turn_head, turn_tail) = ends(messages.get(turn).map_or("", text), TURN_HALF, TURN_HALF);
        Self { instructions: ends(instructions.map_or("", text), INSTRUCTIONS, 0).0, turn_head, turn_tail }
    }

    /// Its texts, in order.
    pub fn texts(&self) -> impl Iterator<Item = &'a str> {
        [self.instructions, self.turn_head, self.turn_tail].into_iter()
    }

    /// Runs of characters that are not white space.
    pub fn words(&self) -> u32 {
        self.texts().map(words).sum()
    }
}

/// The text of the newest user turn; `None` where there is none, or it is longer than what is embedded.
pub fn whole_turn(request: &ChatRequest) -> Option<&str> {
    let turn = request.messages.iter().rfind(|message| message.role == "user")?;
    Some(text(turn)).filter(|text| text.len() <= 2 * TURN_HALF)
}

/// Runs of characters that are not white space. In ASCII their beginnings are counted many bytes at once.
fn words(text: &str) -> u32 {
    if !text.is_ascii() {
        return text.split_whitespace().count() as u32;
    }
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let bytes = text.as_bytes();
    let Some(&first) = bytes.first() else { return 0 };
    let pairs = bytes[..bytes.len() - 1].chunks(128).zip(bytes[1..].chunks(128));
    let begin = pairs.map(|(before, bytes)| {
        let begin = before.iter().zip(bytes).map(|(&before, &byte)| u8::from(is_blank(before) & !is_blank(byte)));
        u32::from(begin.sum::<u8>())
    });
    u32::from(!is_blank(first)) + begin.sum::<u32>()
}

/// Counts over the conversation; of a very long one, over its beginning and its end.
pub fn scan(request: &ChatRequest) -> Scan {
    let total: usize = request.messages.iter().map(|message| message.content.text.len()).sum();
    let mut scan = Scan::default();
    let mut start = 0;
    for text in request.messages.iter().map(text) {
        let head = SCAN_HEAD.saturating_sub(start);
        let tail = (start + text.len()).saturating_sub(total.saturating_sub(SCAN_TAIL));
        let (head, tail) = ends(text, head, tail);
        scan.feed(head);
        if !tail.is_empty() {
            scan.feed(tail);
        }
        start += text.len();
    }
    scan
}

fn text(message: &Message) -> &str {
    &message.content.text
}

/// The first `head` and the last `tail` bytes of a text, cut between characters; all of it, in the first, if they
/// overlap.
fn ends(text: &str, head: usize, tail: usize) -> (&str, &str) {
    if head + tail >= text.len() {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(head)], &text[text.ceil_char_boundary(text.len() - tail)..])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn request(messages: &[(&str, &str)]) -> ChatRequest {
        let messages: Vec<_> = messages.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
        let body = json!({"model": "auto", "messages": messages}).to_string();
        ChatRequest::parse(&Bytes::from(body)).expect("valid")
    }

    fn texts(request: &ChatRequest) -> Vec<&str> {
        Window::of(request).texts().filter(|text| !text.is_empty()).collect()
    }

    #[test]
    fn words_of_ascii_are_counted_as_those_of_any_text() {
        let texts = [
            "",
            " ",
            "a",
            " a",
            "a ",
            "a b",
            "a  b\n\tc\x0b\x0cd\r\n",
            "\u{1}\u{1c} \u{7f}",
            "é à",
            "a\u{a0}b\u{2003}c",
        ];
        for text in texts {
            assert_eq!(words(text), text.split_whitespace().count() as u32, "{text:?}");
        }
    }

    #[test]
    fn the_window_is_the_system_prompt_and_the_newest_user_turn() {
        let long = request(&[("system", "Be kind."), ("user", "old"), ("assistant", "reply"), ("user", "new")]);
        assert_eq!(texts(&long), ["Be kind.", "new"]);
        assert_eq!(texts(&request(&[("developer", "Rules"), ("user", "a"), ("tool", "42")])), ["Rules", "a"]);
        assert_eq!(texts(&request(&[("system", "Only this.")])), ["Only this."]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(5000);
        let long = request(&[("system", &text), ("user", &format!("a{text}b"))]);
        let window = Window::of(&long);
        assert_eq!(window.instructions.len(), INSTRUCTIONS);
        assert_eq!((window.turn_head.len(), window.turn_tail.len()), (TURN_HALF - 1, TURN_HALF - 1));
        assert!(window.turn_head.starts_with('a') && window.turn_tail.ends_with('b'));
    }

    #[test]
    fn a_scan_sees_the_beginning_and_the_end_of_a_long_conversation() {
        let middle = "x".repeat(SCAN_HEAD + SCAN_TAIL);
        let scan = scan(&request(&[("system", "why why"), ("user", &middle), ("user", "which?")]));
        assert_eq!((scan.keywords[2], scan.question_marks), (2, 1));
        assert!(scan.chars as usize <= SCAN_HEAD + SCAN_TAIL + 3, "{}", scan.chars);
    }
}
