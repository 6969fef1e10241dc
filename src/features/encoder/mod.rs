//! What turns a text's tokens into one vector: the static table, or a transformer for those who accept its latency.

mod table;
mod transformer;

pub(super) use table::POOLED;
pub use table::{DIM, TableError, TokenTable};
pub use transformer::{TRANSFORMER_SCHEMA, Transformer, TransformerError};

/// One of the two.
#[derive(Debug)]
pub enum Encoder {
    /// A look-up and a mean: microseconds.
    Table(TokenTable),
    /// A forward pass: tens of milliseconds.
    Transformer(Box<Transformer>),
}

/// A text could not be embedded; the next one may well be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the encoder failed: {0}")]
pub struct EmbedError(pub(super) String);

impl Encoder {
    /// Values of an embedding.
    pub fn dim(&self) -> usize {
        match self {
            Self::Table(_) => DIM,
            Self::Transformer(transformer) => transformer.dim(),
        }
    }

    /// Whether embedding takes too long for the threads that serve.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Transformer(_))
    }

    /// Appends the embedding of these tokens to `values`.
    pub(super) fn embed(&self, ids: &[u32], values: &mut Vec<f32>) -> Result<(), EmbedError> {
        match self {
            Self::Table(table) => values.extend(table.pool(ids)),
            Self::Transformer(transformer) => values.extend(transformer.embed(ids)?),
        }
        Ok(())
    }
}

/// The first and the last `half` of `ids`; all of them, in the first, if there are no more.
fn ends(ids: &[u32], half: usize) -> (&[u32], &[u32]) {
    if ids.len() <= 2 * half {
        return (ids, &[]);
    }
    (&ids[..half], &ids[ids.len() - half..])
}
