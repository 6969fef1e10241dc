//! The files that `train` makes and `serve` loads.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::DifficultyError;
use super::network::{Classifier, Weights};
use super::prior::Prior;
use super::train::Trained;
use crate::features::{Encoder, Extractor, SCHEMA_VERSION, WordPiece};

/// Encoder, classifier and the policy's prior, of one training run.
#[derive(Debug)]
pub struct Bundle {
    pub extractor: Extractor,
    pub classifier: Classifier,
    pub prior: Arc<Prior>,
    pub manifest: Manifest,
    /// Names the training run: a hash of the manifest, which holds the hashes of the other files.
    pub fingerprint: String,
}

/// What a bundle is made of, and how: `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the features that the weights were made for.
    pub schema_version: u32,
    /// The other files of the bundle.
    pub files: Vec<FileEntry>,
    /// The command line that made it.
    pub command: String,
    /// Workloads that it was trained on.
    pub training_data: Vec<FileEntry>,
    /// How a network did on prompts that it had not seen, before the final one was trained on all of them.
    pub holdout: serde_json::Value,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where it comes from, and under which licence.
    pub source: String,
}

const MANIFEST: &str = "manifest.json";
const VOCABULARY: &str = "vocab.txt";
const ENCODER: &str = "encoder.safetensors";
const NETWORK: &str = "network.safetensors";
const PRIOR: &str = "prior.json";

/// The files of a bundle, wherever they come from.
struct Files {
    manifest: Cow<'static, [u8]>,
    vocabulary: Cow<'static, [u8]>,
    encoder: Cow<'static, [u8]>,
    network: Cow<'static, [u8]>,
    prior: Cow<'static, [u8]>,
}

impl Bundle {
    /// The one that lies in the binary. Its hashes are not computed again.
    ///
    /// # Errors
    /// The embedded files do not fit this code.
    pub fn embedded() -> Result<Self, DifficultyError> {
        Files::embedded().bundle()
    }

    /// The tokenizer and encoder that lie in the binary, without the network.
    ///
    /// # Errors
    /// The embedded files do not fit this code.
    pub fn embedded_extractor() -> Result<Extractor, DifficultyError> {
        let files = Files::embedded();
        extractor(files.vocabulary, files.encoder)
    }

    /// The tokenizer and encoder in a folder: `vocab.txt` and `encoder.safetensors`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load_extractor(folder: &Path) -> Result<Extractor, DifficultyError> {
        extractor(read(folder, VOCABULARY)?, read(folder, ENCODER)?)
    }

    /// One from a folder that `train` wrote.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: missing, altered, cut off, not finite, or made for another version.
    pub fn load(folder: &Path) -> Result<Self, DifficultyError> {
        let files = Files::read(folder)?;
        files.verify()?;
        files.bundle()
    }
}

/// The files of a bundle that was just trained, by name: what [`Bundle::load`] reads.
///
/// # Errors
/// The weights or the prior cannot be written as bytes.
pub fn files(
    trained: &Trained,
    extractor: &Extractor,
    manifest: impl FnOnce(Vec<FileEntry>) -> Manifest,
) -> Result<Vec<(&'static str, Vec<u8>)>, DifficultyError> {
    let network = trained.classifier.weights().serialize().map_err(|e| problem(NETWORK, e.to_string()))?;
    let mut files = vec![
        (VOCABULARY, extractor.vocabulary().text().as_bytes().to_vec()),
        (ENCODER, extractor.encoder().file().to_vec()),
        (NETWORK, network),
        (PRIOR, serde_json::to_vec(&trained.prior).map_err(|e| problem(PRIOR, e.to_string()))?),
    ];
    const MINILM: &str = "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), by training/distil.py";
    let source = |name: &str| if matches!(name, VOCABULARY | ENCODER) { MINILM } else { "satisfice train" };
    let entry = |(name, bytes): &(&str, Vec<u8>)| FileEntry {
        name: (*name).to_owned(),
        sha256: sha256(bytes),
        source: source(name).to_owned(),
    };
    let entries = files.iter().map(entry).collect();
    let mut manifest = serde_json::to_vec_pretty(&manifest(entries)).map_err(|e| problem(MANIFEST, e.to_string()))?;
    manifest.push(b'\n');
    files.push((MANIFEST, manifest));
    Ok(files)
}

impl Files {
    fn embedded() -> Self {
        Self {
            manifest: Cow::Borrowed(include_bytes!("../../models/default/manifest.json")),
            vocabulary: Cow::Borrowed(include_bytes!("../../models/default/vocab.txt")),
            encoder: Cow::Borrowed(include_bytes!("../../models/default/encoder.safetensors")),
            network: Cow::Borrowed(include_bytes!("../../models/default/network.safetensors")),
            prior: Cow::Borrowed(include_bytes!("../../models/default/prior.json")),
        }
    }

    fn read(folder: &Path) -> Result<Self, DifficultyError> {
        Ok(Self {
            manifest: read(folder, MANIFEST)?,
            vocabulary: read(folder, VOCABULARY)?,
            encoder: read(folder, ENCODER)?,
            network: read(folder, NETWORK)?,
            prior: read(folder, PRIOR)?,
        })
    }

    fn manifest(&self) -> Result<Manifest, DifficultyError> {
        let manifest: Manifest = json(MANIFEST, &self.manifest)?;
        if manifest.schema_version != SCHEMA_VERSION {
            let found = manifest.schema_version;
            let advice = "train it again with this version of satisfice";
            return Err(problem(
                MANIFEST,
                format!("made for features of schema {found}, and this program has schema {SCHEMA_VERSION}; {advice}"),
            ));
        }
        Ok(manifest)
    }

    /// Whether the files are those that the manifest names.
    fn verify(&self) -> Result<(), DifficultyError> {
        let manifest = self.manifest()?;
        let files =
            [(VOCABULARY, &self.vocabulary), (ENCODER, &self.encoder), (NETWORK, &self.network), (PRIOR, &self.prior)];
        for (name, bytes) in files {
            let Some(entry) = manifest.files.iter().find(|entry| entry.name == name) else {
                return Err(problem(MANIFEST, format!("does not name {name}")));
            };
            if entry.sha256 != sha256(bytes) {
                return Err(problem(name, format!("is not the file that {MANIFEST} names: altered or cut off")));
            }
        }
        Ok(())
    }

    fn bundle(self) -> Result<Bundle, DifficultyError> {
        let manifest = self.manifest()?;
        let weights = Weights::parse(&self.network).map_err(|e| problem(NETWORK, e))?;
        let prior: Prior = json(PRIOR, &self.prior)?;
        prior.check(weights.offset.len()).map_err(|e| problem(PRIOR, e))?;
        Ok(Bundle {
            extractor: extractor(self.vocabulary, self.encoder)?,
            classifier: Classifier::new(weights)?,
            prior: Arc::new(prior),
            fingerprint: sha256(&self.manifest)[..16].to_owned(),
            manifest,
        })
    }
}

fn extractor(vocabulary: Cow<'static, [u8]>, encoder: Cow<'static, [u8]>) -> Result<Extractor, DifficultyError> {
    let vocabulary = text(VOCABULARY, vocabulary)?;
    let vocabulary = WordPiece::parse(vocabulary).map_err(|e| problem(VOCABULARY, e.to_string()))?;
    let encoder = Encoder::parse(encoder, vocabulary.len()).map_err(|e| problem(ENCODER, e.to_string()))?;
    Ok(Extractor::new(vocabulary, encoder))
}

fn read(folder: &Path, name: &str) -> Result<Cow<'static, [u8]>, DifficultyError> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path);
    bytes.map(Cow::Owned).map_err(|e| problem(&path.display().to_string(), format!("cannot be read: {e}")))
}

fn text(file: &str, bytes: Cow<'static, [u8]>) -> Result<Cow<'static, str>, DifficultyError> {
    let refuse = |e: std::str::Utf8Error| problem(file, format!("is not UTF-8 at byte {}", e.valid_up_to()));
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(refuse),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|e| refuse(e.utf8_error())),
    }
}

fn json<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T, DifficultyError> {
    serde_json::from_slice(bytes).map_err(|e| problem(file, format!("does not fit: {e}")))
}

fn problem(file: &str, problem: String) -> DifficultyError {
    DifficultyError::Load { file: file.to_owned(), problem }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
