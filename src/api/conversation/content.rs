//! Content parts: text, pictures, sound, files.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::hosted::Hosted;
use super::signatures::signature;

/// One part of a message's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub kind: PartKind,
    /// `cache_control`: the provider may keep its work on the prompt up to here. Anthropic's marker, as clients of
    /// gateways write it into OpenAI's parts.
    pub cache: Option<Value>,
    /// `prompt_cache_breakpoint`: OpenAI's marker of the same.
    pub breakpoint: Option<Value>,
    /// `citations`, of a file or of what a search found: `{"enabled": true}` asks for the places in it that an answer
    /// rests on. Anthropic's word, too; whose answers have no such places, [`no_citations`](super::no_citations) tells.
    pub citations: Option<Value>,
    /// `search_result`, of a text: Anthropic's block with the source, title and content that the text is made of, for
    /// who has such blocks, as `/v1/messages` hands it on. To all others it is that text.
    pub search_result: Option<Value>,
    /// What the provider wants back with it: Gemini's, of a picture that it made.
    pub signature: Option<String>,
    /// All of it, where one protocol alone has such parts: its text is then empty.
    pub hosted: Option<Hosted>,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    Text(String),
    /// `image_url`.
    Image {
        source: Source,
        detail: Option<String>,
    },
    /// `input_audio`: base64 and its format (`wav`, `mp3`).
    Audio {
        data: String,
        format: String,
    },
    /// `file`.
    File {
        source: Source,
        name: Option<String>,
    },
    /// A model's earlier refusal.
    Refusal(String),
}

/// Where a picture or a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Url(String),
    /// From a `data:` URL.
    Base64 {
        media_type: String,
        data: String,
    },
    /// At the provider, by its name for it.
    Id(String),
}

impl Part {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        let kind = PartKind::Text(text.into());
        let (cache, breakpoint, citations, search_result) = (None, None, None, None);
        Self { kind, cache, breakpoint, citations, search_result, signature: None, hosted: None }
    }

    /// Its text; `None`: it is something else.
    pub fn words(&self) -> Option<&str> {
        match &self.kind {
            PartKind::Text(text) | PartKind::Refusal(text) => Some(text),
            _ => None,
        }
    }
}

impl Source {
    /// A URL, or what is in a `data:` URL of the form `data:MEDIA;base64,DATA`.
    ///
    /// # Errors
    /// A `data:` URL of another form.
    pub fn parse(url: &str) -> Result<Self, String> {
        let Some(rest) = url.strip_prefix("data:") else {
            return Ok(Self::Url(url.to_owned()));
        };
        let (kind, data) = rest.split_once(',').ok_or("a data: URL needs a comma before its data")?;
        let kind = kind.strip_suffix(";base64").ok_or("a data: URL must be base64: data:image/png;base64,…")?;
        let media_type = kind.split(';').next().filter(|kind| !kind.is_empty()).unwrap_or("application/octet-stream");
        Ok(Self::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
    }
}

/// A part as it is written.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire {
    #[serde(alias = "input_text", alias = "output_text")]
    Text {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    ImageUrl {
        image_url: ImageUrl,
    },
    InputAudio {
        input_audio: InputAudio,
    },
    File {
        file: File,
    },
    Hosted {},
}

#[derive(Deserialize)]
struct ImageUrl {
    url: String,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Deserialize)]
struct InputAudio {
    data: String,
    format: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    file_data: Option<String>,
    #[serde(default)]
    file_id: Option<String>,
    #[serde(default)]
    filename: Option<String>,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Marked {
            #[serde(flatten)]
            part: Wire,
            #[serde(default)]
            cache_control: Option<Value>,
            #[serde(default)]
            prompt_cache_breakpoint: Option<Value>,
            #[serde(default)]
            citations: Option<Value>,
            #[serde(default)]
            search_result: Option<Value>,
            #[serde(default)]
            extra_content: Option<Value>,
            #[serde(default)]
            hosted: Option<Hosted>,
        }
        let Marked {
            part,
            cache_control: cache,
            prompt_cache_breakpoint: breakpoint,
            citations,
            search_result,
            extra_content,
            hosted,
        } = Marked::deserialize(deserializer)?;
        let kind = part.kind().map_err(D::Error::custom)?;
        let signature = signature(extra_content.as_ref());
        Ok(Self { kind, cache, breakpoint, citations, search_result, signature, hosted })
    }
}

impl Wire {
    fn kind(self) -> Result<PartKind, String> {
        Ok(match self {
            Self::Text { text } => PartKind::Text(text),
            Self::Refusal { refusal } => PartKind::Refusal(refusal),
            Self::ImageUrl { image_url } => {
                PartKind::Image { source: Source::parse(&image_url.url)?, detail: image_url.detail }
            }
            Self::InputAudio { input_audio } => PartKind::Audio { data: input_audio.data, format: input_audio.format },
            Self::File { file } => PartKind::File { source: file.source()?, name: file.filename },
            Self::Hosted {} => PartKind::Text(String::new()),
        })
    }
}

impl File {
    fn source(&self) -> Result<Source, String> {
        match (&self.file_data, &self.file_id) {
            (Some(data), _) if data.contains(':') => Source::parse(data),
            (Some(_), _) => Err("`file_data` must be a data: URL, data:application/pdf;base64,…, or a URL".into()),
            (None, Some(id)) => Ok(Source::Id(id.clone())),
            (None, None) => Err("a file needs `file_data` (a data: URL) or `file_id`".into()),
        }
    }
}
