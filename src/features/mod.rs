//! Request → [`Features`]: WordPiece tokenizer, embeddings of its tokens, hand-made signals. Pure.

mod eight;
mod encoder;
mod keywords;
mod lines;
mod scan;
mod signals;
mod window;
mod wordpiece;

pub use encoder::{
    DIM, EmbedError, Encoder, TRANSFORMER_SCHEMA, TableError, TokenTable, Transformer, TransformerError,
};
pub use wordpiece::{VocabularyError, WordPiece};

use crate::api::chat::{ChatRequest, Message};
use signals::SIGNALS;
use window::Window;

/// The version of the features and how they are computed: a bundle made for another version does not fit this code.
pub const SCHEMA_VERSION: u32 = 2;
/// How many of the [`Features`], at the front, are hand-made signals; the embedding follows.
pub const SIGNAL_WIDTH: usize = SIGNALS;

/// What the classifier sees of a request. Same request and same encoder: same bits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// Signals and the embedding, in the order of the schema, not yet standardised; [`Extractor::width`] values.
    pub values: Vec<f32>,
    /// Prompt tokens, estimated, of the whole conversation with all that is in it: for limits and cost.
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

/// A request that has been read, before its text is embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The signals, with room for the embedding.
    values: Vec<f32>,
    /// Tokens of the window.
    ids: Vec<u32>,
    /// As in [`Features`].
    pub input_tokens: u32,
}

/// Turns requests into features; holds the tokenizer and the encoder.
#[derive(Debug)]
pub struct Extractor {
    vocabulary: WordPiece,
    encoder: Encoder,
}

impl Extractor {
    /// An extractor; `encoder` must know each piece of `vocabulary`.
    pub fn new(vocabulary: WordPiece, encoder: Encoder) -> Self {
        Self { vocabulary, encoder }
    }

    /// Same request: same bits. Signals look at the whole conversation (at most 64 KiB of it, its beginning and its
    /// end), embeddings at a bounded [window](window) of it: the first system prompt and the newest user turn.
    ///
    /// # Errors
    /// Those of [`Self::embed`].
    pub fn extract(&self, request: &ChatRequest) -> Result<Features, EmbedError> {
        self.embed(self.draft(request))
    }

    /// The part of [`Self::extract`] that takes microseconds whatever the encoder.
    pub fn draft(&self, request: &ChatRequest) -> Draft {
        let scan = window::scan(request);
        let window = Window::of(request);
        let mut ids = Vec::with_capacity(512);
        window.texts().for_each(|text| self.vocabulary.encode(text, &mut ids));
        let mut values = Vec::with_capacity(self.width());
        values.extend(signals::signals(&scan, &self.vocabulary, &ids, window.words()));
        Draft { values, ids, input_tokens: input_tokens(request) }
    }

    /// The rest of it, which takes milliseconds where the encoder [is slow](Encoder::is_slow).
    ///
    /// # Errors
    /// A transformer failed; the static table never does.
    pub fn embed(&self, draft: Draft) -> Result<Features, EmbedError> {
        let Draft { mut values, ids, input_tokens } = draft;
        self.encoder.embed(&ids, &mut values)?;
        Ok(Features { values, input_tokens })
    }

    /// Values in [`Features`]: signals and embedding.
    pub fn width(&self) -> usize {
        SIGNAL_WIDTH + self.encoder.dim()
    }

    /// The direction of the mean of the newest user turn's token vectors: [`DIM`] values, of length 1. `None` where
    /// there is no user turn, nothing in it to pool, or more than is pooled (what is not looked at cannot be compared),
    /// and where a transformer embeds, which would be too slow.
    pub fn meaning(&self, request: &ChatRequest) -> Option<[f32; DIM]> {
        let Encoder::Table(table) = &self.encoder else { return None };
        let turn = window::whole_turn(request)?;
        let mut ids = Vec::with_capacity(128);
        self.vocabulary.encode(turn, &mut ids);
        if ids.len() > encoder::POOLED {
            return None;
        }
        let pooled = table.pool(&ids);
        let length = pooled.iter().map(|value| value * value).sum::<f32>().sqrt();
        (length > 0.0).then(|| pooled.map(|value| value / length))
    }

    /// What embeds the tokens.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The tokenizer.
    pub fn vocabulary(&self) -> &WordPiece {
        &self.vocabulary
    }
}

/// Four bytes per token: right within a tenth for English, and on the safe side for most other scripts.
pub fn tokens(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}

/// Prompt tokens, estimated, of the whole conversation with its calls, thoughts, files, tools and images. An image counts
/// as OpenAI bills one of 1024 × 1024 pixels.
pub fn input_tokens(request: &ChatRequest) -> u32 {
    const IMAGE_TOKENS: usize = 765;
    let text: usize = request.messages.iter().map(Message::length).sum();
    let images: usize = request.messages.iter().map(|message| message.content.images as usize).sum();
    let tools = request.raw("tools").map_or(0, |tools| tools.len());
    tokens(text + tools + 4 * images * IMAGE_TOKENS)
}
