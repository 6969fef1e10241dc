//! Request → [`Features`]: WordPiece tokenizer, static token embeddings, hand-made signals. Pure.

mod encoder;
mod keywords;
mod lines;
mod scan;
mod signals;
mod window;
mod wordpiece;

pub use encoder::{DIM, Encoder, EncoderError};
pub use wordpiece::{VocabularyError, WordPiece};

use crate::api::chat::ChatRequest;
use signals::SIGNALS;
use window::Window;

/// Which features, computed how: a bundle of weights made for another version does not fit this code.
pub const SCHEMA_VERSION: u32 = 2;
/// Values in [`Features`]: the signals, then the mean of the token vectors.
pub const WIDTH: usize = SIGNALS + DIM;
/// How many of them, at the front, are hand-made signals.
pub const SIGNAL_WIDTH: usize = SIGNALS;

/// What the classifier sees of a request. Same request and same encoder: same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Signals and pooled static embeddings, in the order of the schema, not yet standardised; [`WIDTH`] values.
    pub values: Vec<f32>,
    /// Prompt tokens, estimated, of the whole conversation with its tools and images: for limits and cost.
    pub input_tokens: u32,
}

/// Shares (0 to 1) that tell how well the tokenizer knows a prompt's script and language.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Script {
    /// Of tokens that cannot be spelled.
    pub unknown: f32,
    /// Of tokens that continue a word.
    pub split: f32,
    /// Of characters beyond ASCII.
    pub non_ascii: f32,
}

impl Features {
    /// How well the tokenizer knows this prompt's script.
    pub fn script(&self) -> Script {
        let root = self.values[signals::NON_ASCII];
        Script { unknown: self.values[signals::UNKNOWN], split: self.values[signals::SPLIT], non_ascii: root * root }
    }
}

/// Turns requests into features; holds the tokenizer and the embedding table.
#[derive(Debug)]
pub struct Extractor {
    vocabulary: WordPiece,
    encoder: Encoder,
}

impl Extractor {
    /// An extractor of these; `encoder` has a row for each piece of `vocabulary`.
    pub fn new(vocabulary: WordPiece, encoder: Encoder) -> Self {
        Self { vocabulary, encoder }
    }

    /// Same request: same bits. Signals look at the whole conversation (but at most 64 KiB of it, its beginning and
    /// its end), embeddings at a bounded [window](window) of it: the first system prompt and the newest user turn.
    pub fn extract(&self, request: &ChatRequest) -> Features {
        let scan = window::scan(request);
        let window = Window::of(request);
        let mut ids = Vec::with_capacity(512);
        window.texts().for_each(|text| self.vocabulary.encode(text, &mut ids));
        let mut values = Vec::with_capacity(WIDTH);
        values.extend(signals::signals(&scan, &self.vocabulary, &ids, window.words()));
        values.extend(self.encoder.pool(&ids));
        Features { values, input_tokens: input_tokens(request) }
    }

    /// The direction of the mean of the newest user turn's token vectors: [`DIM`] values, of length 1. `None` where there
    /// is no user's turn, nothing in it to pool, or more than is pooled: what is not looked at cannot be compared.
    pub fn meaning(&self, request: &ChatRequest) -> Option<[f32; DIM]> {
        let turn = window::whole_turn(request)?;
        let mut ids = Vec::with_capacity(128);
        self.vocabulary.encode(turn, &mut ids);
        if ids.len() > encoder::POOLED {
            return None;
        }
        let pooled = self.encoder.pool(&ids);
        let length = pooled.iter().map(|value| value * value).sum::<f32>().sqrt();
        (length > 0.0).then(|| pooled.map(|value| value / length))
    }

    /// The embedding table.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The tokenizer.
    pub fn vocabulary(&self) -> &WordPiece {
        &self.vocabulary
    }
}

/// Four bytes a token: right within a tenth for English, and on the safe side for most other scripts. An image counts
/// as OpenAI bills one of 1024 × 1024 pixels.
fn input_tokens(request: &ChatRequest) -> u32 {
    const IMAGE_TOKENS: usize = 765;
    let text: usize = request.messages.iter().map(|message| message.content.text.len()).sum();
    let images: usize = request.messages.iter().map(|message| message.content.images as usize).sum();
    let tools = request.raw("tools").map_or(0, |tools| tools.len());
    u32::try_from((text + tools).div_ceil(4) + images * IMAGE_TOKENS).unwrap_or(u32::MAX)
}
