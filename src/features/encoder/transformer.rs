//! The transformer: candle's BERT, mean-pooled as sentence-transformers does.

use std::fmt;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use safetensors::{Dtype, SafeTensors};

use super::{EmbedError, ends};
use crate::features::WordPiece;

/// How a text becomes an embedding: which tokens, which pooling. Weights learned with another way do not fit.
pub const TRANSFORMER_SCHEMA: u32 = 1;
/// Tokens that are looked at, including `[CLS]` and `[SEP]`: the most that all-MiniLM-L6-v2 reads, and a bound on how
/// long it takes.
const MOST_TOKENS: usize = 256;
/// The most values per vector and layers: a gateway cannot wait for a larger BERT.
const MOST_HIDDEN: usize = 4096;
const MOST_LAYERS: usize = 48;

/// A BERT, and the tokens that frame its texts.
pub struct Transformer {
    model: BertModel,
    dim: usize,
    /// Tokens on either side of the cut, where a text has more.
    half: usize,
    /// Ids of `[CLS]` and `[SEP]`.
    frame: (u32, u32),
}

/// The files are not a BERT, or do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformerError {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Vocabulary(String),
    #[error("{0}")]
    Weights(String),
}

impl fmt::Debug for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dim, half, .. } = self;
        write!(f, "Transformer {{ dim: {dim}, half: {half} }}")
    }
}

impl Transformer {
    /// A BERT from the bytes of `config.json` and `model.safetensors`; `vocabulary` is what it was trained with.
    ///
    /// # Errors
    /// Which of the three does not fit, and why.
    pub fn parse(config: &[u8], weights: &[u8], vocabulary: &WordPiece) -> Result<Self, TransformerError> {
        let config = parse_config(config)?;
        let frame = frame(&config, vocabulary)?;
        check_weights(weights)?;
        let unfit =
            |e: candle_core::Error| TransformerError::Weights(format!("does not fit config.json: {}", line(&e)));
        let tensors = VarBuilder::from_slice_safetensors(weights, DType::F32, &Device::Cpu).map_err(unfit)?;
        let model = BertModel::load(tensors, &config).map_err(unfit)?;
        let half = (MOST_TOKENS.min(config.max_position_embeddings) - 2) / 2;
        let transformer = Self { model, dim: config.hidden_size, half, frame };
        // Wrong numbers of heads, kinds of tokens and the like show only in use.
        let probe = transformer.embed(&[vocabulary.unknown()]);
        probe.map_err(|EmbedError(e)| TransformerError::Weights(format!("do not run as config.json says: {e}")))?;
        Ok(transformer)
    }

    /// Values of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Mean over the last layer's vectors, scaled to length 1. If there are many tokens, the middle is left out.
    ///
    /// # Errors
    /// candle fails, or a value is not finite.
    pub fn embed(&self, ids: &[u32]) -> Result<Vec<f32>, EmbedError> {
        let pooled = self.pool(ids).map_err(|e| EmbedError(line(&e)))?;
        let length = pooled.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(EmbedError(format!("an embedding of length {length}")));
        }
        Ok(pooled.into_iter().map(|x| x / length).collect())
    }

    fn pool(&self, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
        let (head, tail) = ends(ids, self.half);
        let framed = [&[self.frame.0], head, tail, &[self.frame.1]].concat();
        let input = Tensor::from_slice(&framed, (1, framed.len()), &Device::Cpu)?;
        self.model.forward(&input, &input.zeros_like()?, None)?.squeeze(0)?.mean(0)?.to_vec1()
    }
}

fn parse_config(bytes: &[u8]) -> Result<Config, TransformerError> {
    let wrong = |problem: String| Err(TransformerError::Config(problem));
    let config: Config = serde_json::from_slice(bytes)
        .or_else(|e| wrong(format!("is no BERT's configuration ({e}); give a BERT's folder")))?;
    let Config { hidden_size, num_hidden_layers, num_attention_heads: heads, max_position_embeddings, .. } = config;
    match config.model_type.as_deref() {
        Some(kind) if kind != "bert" => wrong(format!("model_type is {kind:?}; give a BERT's folder")),
        _ if !(1..=MOST_HIDDEN).contains(&hidden_size) => {
            wrong(format!("hidden_size is {hidden_size}; it must be from 1 to {MOST_HIDDEN}"))
        }
        _ if !(1..=MOST_LAYERS).contains(&num_hidden_layers) => {
            wrong(format!("num_hidden_layers is {num_hidden_layers}; it must be from 1 to {MOST_LAYERS}"))
        }
        _ if heads == 0 || hidden_size % heads != 0 => {
            wrong(format!("num_attention_heads is {heads}, which does not divide hidden_size {hidden_size}"))
        }
        _ if max_position_embeddings < 4 => {
            wrong(format!("max_position_embeddings is {max_position_embeddings}; it must be at least 4"))
        }
        _ => Ok(config),
    }
}

/// The tokens before and after every text, of a vocabulary that is the model's.
fn frame(config: &Config, vocabulary: &WordPiece) -> Result<(u32, u32), TransformerError> {
    let wrong = |problem: String| TransformerError::Vocabulary(problem);
    if vocabulary.len() != config.vocab_size {
        let (pieces, size) = (vocabulary.len(), config.vocab_size);
        let advice = "give the tokenizer that the model was trained with";
        return Err(wrong(format!("has {pieces} pieces, and config.json says vocab_size {size}; {advice}")));
    }
    if !vocabulary.is_uncased() {
        return Err(wrong("tells upper from lower case; give an uncased BERT".into()));
    }
    let special = |piece: &str| {
        vocabulary.id(piece).ok_or_else(|| wrong(format!("has no {piece}; give the tokenizer of a BERT")))
    };
    Ok((special("[CLS]")?, special("[SEP]")?))
}

/// Whole, and all of its numbers finite.
fn check_weights(weights: &[u8]) -> Result<(), TransformerError> {
    let wrong = |problem: String| TransformerError::Weights(problem);
    let tensors = SafeTensors::deserialize(weights)
        .map_err(|e| wrong(format!("is no safetensors file, or is cut off ({e}); copy it again")))?;
    let finite = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().all(|&bytes| f32::from_le_bytes(bytes).is_finite());
    match tensors.iter().find(|(_, tensor)| tensor.dtype() == Dtype::F32 && !finite(tensor.data())) {
        Some((name, _)) => Err(wrong(format!("tensor {name} holds a value that is not a finite number"))),
        None => Ok(()),
    }
}

/// The first line of candle's error; a backtrace follows it.
fn line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
