//! What a client asks for, read for a wire that is not OpenAI's.

use serde_json::{Map, Value};

use crate::api::chat::ROUTING;
use crate::api::conversation::unsupported;
use crate::api::embeddings::EmbeddingsRequest;
use crate::api::error::BadRequest;

/// Fields that are read of every request, or that ask for nothing which could be missed in the vectors.
const READ: [&str; 6] = ["model", "input", "dimensions", "encoding_format", "drop_unsupported", "user"];

/// A request for embeddings of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// At least one, none of them empty.
    pub texts: Vec<String>,
    /// The length that the vectors should have.
    pub dimensions: Option<u32>,
    /// What the client says in the wire's own terms, by its names there.
    pub own: Map<String, Value>,
    lenient: bool,
}

impl Wanted {
    /// Reads `request` for a wire, called `wire` in messages. `own`: the fields beyond OpenAI's that a client may send, and
    /// their names in the wire.
    ///
    /// # Errors
    /// What the wire cannot express, or cannot be read, by the client's field.
    pub fn read(request: &EmbeddingsRequest, wire: &str, own: &[(&str, &str)]) -> Result<Self, BadRequest> {
        let theirs = |name: &str| own.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
        let mut said = Map::new();
        let is_read = |name: &str| READ.contains(&name) || ROUTING.contains(&name);
        for (name, value) in request.fields().filter(|(name, value)| !is_read(name) && &value[..] != b"null") {
            match theirs(name) {
                Some(theirs) => drop(said.insert(theirs.to_owned(), json(value))),
                None if request.drop_unsupported => {}
                None => return Err(unsupported(name, &format!("{wire} knows nothing like `{name}` in embeddings"))),
            }
        }
        request.encoding()?;
        let (texts, dimensions) = (request.texts(wire)?, request.dimensions()?);
        Ok(Self { texts, dimensions, own: said, lenient: request.drop_unsupported })
    }

    /// The same for a model whose vectors have one length only.
    ///
    /// # Errors
    /// Another one is asked for.
    pub fn of_one_length(self, model: &str) -> Result<Self, BadRequest> {
        if self.dimensions.is_some() && !self.lenient {
            return Err(unsupported("dimensions", &format!("the vectors of {model} have one length only")));
        }
        Ok(Self { dimensions: None, ..self })
    }
}

/// It was read as JSON before.
fn json(raw: &[u8]) -> Value {
    serde_json::from_slice(raw).unwrap_or_default()
}

/// How much fits into one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// At least 1.
    pub texts: usize,
    /// Together, in UTF-8. A longer text goes alone.
    pub bytes: usize,
}

impl Batch {
    /// One text a call.
    pub const ONE: Self = Self { texts: 1, bytes: usize::MAX };

    /// `texts`, shared out in their order.
    pub fn split(self, texts: &[String]) -> Vec<&[String]> {
        let (mut out, mut begin, mut bytes) = (vec![], 0, 0);
        for (i, text) in texts.iter().enumerate() {
            if i > begin && (i - begin >= self.texts || bytes + text.len() > self.bytes) {
                out.push(&texts[begin..i]);
                (begin, bytes) = (i, 0);
            }
            bytes += text.len();
        }
        out.extend((begin < texts.len()).then(|| &texts[begin..]));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shared_out_in_their_order_within_both_limits() {
        let texts = ["aa", "b", "cccc", "dddddddd", "e", "f", "g"].map(String::from);
        let sizes = |texts_at_most, bytes| -> Vec<usize> {
            let batches = Batch { texts: texts_at_most, bytes }.split(&texts);
            assert_eq!(batches.concat(), texts);
            batches.iter().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(3, usize::MAX), [3, 3, 1]);
        assert_eq!(sizes(100, 7), [3, 1, 3]);
        assert_eq!(sizes(2, 3), [2, 1, 1, 2, 1]);
        assert_eq!(Batch::ONE.split(&texts).len(), texts.len());
    }
}
