//! The files that `train` makes and `serve` loads.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::encoder::{EncoderFiles, EncoderRecord};
use super::network::{Classifier, Weights};
use super::prior::Prior;
use super::train::Trained;
use super::{Context, DifficultyError};
use crate::features::{Draft, Extractor, SCHEMA_VERSION, TRANSFORMER_SCHEMA};

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
    /// The transformer in place of the static encoder, if there is one; it lies among the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderRecord>,
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
    /// Of exported traces: when those came that were learned from; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

/// From the first to the last, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub from_ms: u64,
    pub to_ms: u64,
}

impl Span {
    /// A single moment.
    pub fn at(ms: u64) -> Self {
        Self { from_ms: ms, to_ms: ms }
    }

    /// With another moment in it.
    #[must_use]
    pub fn with(self, ms: u64) -> Self {
        Self { from_ms: self.from_ms.min(ms), to_ms: self.to_ms.max(ms) }
    }

    /// Whether the two have a moment in common.
    pub fn meets(self, other: Self) -> bool {
        self.from_ms <= other.to_ms && other.from_ms <= self.to_ms
    }
}

const MANIFEST: &str = "manifest.json";
const NETWORK: &str = "network.safetensors";
const PRIOR: &str = "prior.json";

/// The files of a bundle, wherever they come from.
struct Files {
    manifest: Cow<'static, [u8]>,
    encoder: EncoderFiles,
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

    /// One from a folder that `train` wrote.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: missing, altered, cut off, not finite, or made for another version.
    pub fn load(folder: &Path) -> Result<Self, DifficultyError> {
        let files = Files::read(folder)?;
        files.verify()?;
        files.bundle()
    }

    /// φ, difficulty, length and novelty of a request that was read by this extractor. Takes milliseconds where the
    /// encoder [is slow](crate::features::Encoder::is_slow).
    ///
    /// # Errors
    /// The encoder or the network failed; the caller falls back to a route's safest model.
    pub fn assess(&self, draft: Draft) -> Result<Context, DifficultyError> {
        self.classifier.assess(&self.extractor.embed(draft)?)
    }
}

/// The files of a bundle that was just trained, by name: what [`Bundle::load`] reads.
///
/// # Errors
/// The weights or the prior cannot be written as bytes.
pub fn files(
    trained: &Trained,
    encoder: &EncoderFiles,
    manifest: impl FnOnce(Vec<FileEntry>) -> Manifest,
) -> Result<Vec<(&'static str, Vec<u8>)>, DifficultyError> {
    let network = trained.classifier.weights().serialize().map_err(|e| problem(NETWORK, e.to_string()))?;
    let prior = serde_json::to_vec(&trained.prior).map_err(|e| problem(PRIOR, e.to_string()))?;
    let given = encoder.files().into_iter().map(|(name, bytes)| (name, bytes.to_vec(), encoder.source()));
    let made = [(NETWORK, network), (PRIOR, prior)].map(|(name, bytes)| (name, bytes, "satisfice train"));
    let (mut files, mut entries) = (Vec::new(), Vec::new());
    for (name, bytes, source) in given.chain(made) {
        entries.push(FileEntry {
            name: name.to_owned(),
            sha256: sha256(&bytes),
            source: source.to_owned(),
            span: None,
        });
        files.push((name, bytes));
    }
    let mut manifest = serde_json::to_vec_pretty(&manifest(entries)).map_err(|e| problem(MANIFEST, e.to_string()))?;
    manifest.push(b'\n');
    files.push((MANIFEST, manifest));
    Ok(files)
}

impl Files {
    fn embedded() -> Self {
        Self {
            manifest: Cow::Borrowed(include_bytes!("../../models/default/manifest.json")),
            encoder: EncoderFiles::embedded(),
            network: Cow::Borrowed(include_bytes!("../../models/default/network.safetensors")),
            prior: Cow::Borrowed(include_bytes!("../../models/default/prior.json")),
        }
    }

    fn read(folder: &Path) -> Result<Self, DifficultyError> {
        let manifest = read(folder, MANIFEST)?;
        let transformer = parse_manifest(&manifest)?.encoder.is_some();
        Ok(Self {
            manifest,
            encoder: EncoderFiles::of_bundle(folder, transformer)?,
            network: read(folder, NETWORK)?,
            prior: read(folder, PRIOR)?,
        })
    }

    /// Whether the files are those that the manifest names: a network never runs on another encoder than its own.
    fn verify(&self) -> Result<(), DifficultyError> {
        let manifest = parse_manifest(&self.manifest)?;
        let others: [(&str, &[u8]); 2] = [(NETWORK, &self.network), (PRIOR, &self.prior)];
        for (name, bytes) in self.encoder.files().into_iter().chain(others) {
            let Some(entry) = manifest.files.iter().find(|entry| entry.name == name) else {
                return Err(problem(MANIFEST, format!("does not name {name}")));
            };
            let found = sha256(bytes);
            if entry.sha256 != found {
                let hashes = format!("its SHA-256 is {found}, not {}", entry.sha256);
                return Err(problem(
                    name,
                    format!("is not the file that {MANIFEST} names, altered or cut off: {hashes}; put that file back"),
                ));
            }
        }
        Ok(())
    }

    fn bundle(self) -> Result<Bundle, DifficultyError> {
        let manifest = parse_manifest(&self.manifest)?;
        let extractor = self.encoder.extractor()?;
        check_record(&manifest, self.encoder.record(&extractor))?;
        let weights = Weights::parse(&self.network).map_err(|e| problem(NETWORK, e))?;
        if weights.width() != extractor.width() {
            let (made, width) = (weights.width(), extractor.width());
            return Err(problem(
                NETWORK,
                format!("is made for {made} features, and there are {width}; train it again"),
            ));
        }
        let prior: Prior = json(PRIOR, &self.prior)?;
        prior.check(weights.offset.len()).map_err(|e| problem(PRIOR, e))?;
        Ok(Bundle {
            extractor,
            classifier: Classifier::new(weights),
            prior: Arc::new(prior),
            fingerprint: sha256(&self.manifest)[..16].to_owned(),
            manifest,
        })
    }
}

fn parse_manifest(bytes: &[u8]) -> Result<Manifest, DifficultyError> {
    let manifest: Manifest = json(MANIFEST, bytes)?;
    let refuse = |of: &str, found: u32, ours: u32| {
        let advice = "train it again with this version of satisfice";
        Err(problem(MANIFEST, format!("made for {of} of schema {found}, and this program has schema {ours}; {advice}")))
    };
    match manifest.encoder.as_ref().map(|encoder| encoder.schema) {
        _ if manifest.schema_version != SCHEMA_VERSION => refuse("features", manifest.schema_version, SCHEMA_VERSION),
        Some(schema) if schema != TRANSFORMER_SCHEMA => refuse("embeddings", schema, TRANSFORMER_SCHEMA),
        _ => Ok(manifest),
    }
}

/// Whether the encoder is the one that the classifier was trained on.
fn check_record(manifest: &Manifest, found: Option<EncoderRecord>) -> Result<(), DifficultyError> {
    match (&manifest.encoder, found) {
        (Some(trained), Some(found)) if *trained != found => Err(problem(
            MANIFEST,
            format!(
                "the classifier was trained on encoder {} ({} values), and encoder {} ({}) lies beside it; train it again",
                trained.sha256, trained.dim, found.sha256, found.dim
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn read(folder: &Path, name: &str) -> Result<Cow<'static, [u8]>, DifficultyError> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path);
    bytes.map(Cow::Owned).map_err(|e| problem(&path.display().to_string(), format!("cannot be read: {e}")))
}

fn json<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T, DifficultyError> {
    serde_json::from_slice(bytes).map_err(|e| problem(file, format!("does not fit: {e}")))
}

pub(super) fn problem(file: &str, problem: String) -> DifficultyError {
    DifficultyError::Load { file: file.to_owned(), problem }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
