//! The files of an encoder: the tokenizer, and the static table or a transformer's configuration and weights.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::DifficultyError;
use super::bundle::{FileEntry, problem, read, sha256};
use super::vocabulary;
use crate::features::{Encoder, Extractor, TRANSFORMER_SCHEMA, TokenTable, Transformer, TransformerError, WordPiece};

const VOCABULARY: &str = "vocab.txt";
const TABLE: &str = "encoder.safetensors";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// Statics, not constants: those would lie in the program once for each place that inlines them.
static EMBEDDED_VOCABULARY: &[u8] = include_bytes!("../../models/default/vocab.txt");
static EMBEDDED_TABLE: &[u8] = include_bytes!("../../models/default/encoder.safetensors");

/// The files that an encoder is made of, and that a bundle carries.
#[derive(Debug)]
pub struct EncoderFiles {
    vocabulary: Cow<'static, [u8]>,
    kind: Kind,
    /// What errors call the folder: empty for a bundle, whose files are known by their names alone.
    place: String,
}

#[derive(Debug)]
enum Kind {
    Table(Cow<'static, [u8]>),
    Transformer { config: Cow<'static, [u8]>, weights: Cow<'static, [u8]> },
}

/// The transformer that a bundle was trained on, in its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderRecord {
    /// [`TRANSFORMER_SCHEMA`] of the program that trained on it.
    pub schema: u32,
    /// Values of an embedding.
    pub dim: usize,
    /// Of its weights, SHA-256 in hexadecimal.
    pub sha256: String,
}

impl EncoderFiles {
    /// The static encoder that lies in the program.
    pub fn embedded() -> Self {
        Self {
            vocabulary: Cow::Borrowed(EMBEDDED_VOCABULARY),
            kind: Kind::Table(Cow::Borrowed(EMBEDDED_TABLE)),
            place: String::new(),
        }
    }

    /// A static encoder's, in a folder: `vocab.txt` and `encoder.safetensors`.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn table(folder: &Path) -> Result<Self, DifficultyError> {
        let kind = Kind::Table(read(folder, TABLE)?);
        Ok(Self { vocabulary: read(folder, VOCABULARY)?, kind, place: place(folder) })
    }

    /// A transformer's, in a folder as sentence-transformers has it: `config.json`, `model.safetensors`, and `vocab.txt`
    /// or `tokenizer.json`.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn transformer(folder: &Path) -> Result<Self, DifficultyError> {
        let advice = "an encoder's folder has config.json, model.safetensors, and vocab.txt or tokenizer.json";
        let read = |name: &str| {
            read(folder, name).map_err(|e| match e {
                DifficultyError::Load { file, problem } => {
                    DifficultyError::Load { file, problem: format!("{problem}; {advice}") }
                }
                other => other,
            })
        };
        let kind = Kind::Transformer { config: read(CONFIG)?, weights: read(WEIGHTS)? };
        let vocabulary = if !folder.join(VOCABULARY).exists() && folder.join(vocabulary::FILE).exists() {
            let lines = vocabulary::lines(&read(vocabulary::FILE)?);
            lines.map_err(|e| problem(&format!("{}{}", place(folder), vocabulary::FILE), e))?
        } else {
            read(VOCABULARY)?
        };
        Ok(Self { vocabulary, kind, place: place(folder) })
    }

    /// Those of a bundle in a folder, whose manifest names a transformer or does not.
    pub(super) fn of_bundle(folder: &Path, transformer: bool) -> Result<Self, DifficultyError> {
        let kind = if transformer {
            Kind::Transformer { config: read(folder, CONFIG)?, weights: read(folder, WEIGHTS)? }
        } else {
            Kind::Table(read(folder, TABLE)?)
        };
        Ok(Self { vocabulary: read(folder, VOCABULARY)?, kind, place: String::new() })
    }

    /// Tokenizer and encoder.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn extractor(&self) -> Result<Extractor, DifficultyError> {
        let wrong = |file: &str, what: String| problem(&format!("{}{file}", self.place), what);
        let vocabulary = text(self.vocabulary.clone()).and_then(|t| WordPiece::parse(t).map_err(|e| e.to_string()));
        let vocabulary = vocabulary.map_err(|e| wrong(VOCABULARY, e))?;
        let encoder = match &self.kind {
            Kind::Table(file) => {
                let table = TokenTable::parse(file.clone(), vocabulary.len());
                Encoder::Table(table.map_err(|e| wrong(TABLE, e.to_string()))?)
            }
            Kind::Transformer { config, weights } => {
                let transformer = Transformer::parse(config, weights, &vocabulary).map_err(|e| match e {
                    TransformerError::Config(e) => wrong(CONFIG, e),
                    TransformerError::Vocabulary(e) => wrong(VOCABULARY, e),
                    TransformerError::Weights(e) => wrong(WEIGHTS, e),
                })?;
                Encoder::Transformer(Box::new(transformer))
            }
        };
        Ok(Extractor::new(vocabulary, encoder))
    }

    /// Names and bytes.
    pub(super) fn files(&self) -> Vec<(&'static str, &[u8])> {
        let mut files: Vec<(_, &[u8])> = vec![(VOCABULARY, &self.vocabulary)];
        match &self.kind {
            Kind::Table(table) => files.push((TABLE, table)),
            Kind::Transformer { config, weights } => files.extend([(CONFIG, &**config), (WEIGHTS, &**weights)]),
        }
        files
    }

    /// Where the files are from, for the manifest.
    pub(super) fn source(&self) -> &'static str {
        match self.kind {
            Kind::Table(_) => "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), by training/distil.py",
            Kind::Transformer { .. } => "the folder given as --encoder",
        }
    }

    /// What the manifest says of a transformer; `None` for a static table, which is the rule.
    pub fn record(&self, extractor: &Extractor) -> Option<EncoderRecord> {
        let Kind::Transformer { weights, .. } = &self.kind else { return None };
        Some(EncoderRecord { schema: TRANSFORMER_SCHEMA, dim: extractor.encoder().dim(), sha256: sha256(weights) })
    }

    /// Whether a bundle with these files has this encoder, to the bit.
    pub fn is_among(&self, files: &[FileEntry]) -> bool {
        let is_there = |(name, bytes): (&str, &[u8])| {
            files.iter().any(|entry| entry.name == name && entry.sha256 == sha256(bytes))
        };
        self.files().into_iter().all(is_there)
    }
}

fn place(folder: &Path) -> String {
    folder.join("").display().to_string()
}

fn text(bytes: Cow<'static, [u8]>) -> Result<Cow<'static, str>, String> {
    let refuse = |e: std::str::Utf8Error| format!("is not UTF-8 at byte {}", e.valid_up_to());
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(refuse),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|e| refuse(e.utf8_error())),
    }
}
