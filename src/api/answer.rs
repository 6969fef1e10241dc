//! An answer in OpenAI's shape read whole, for clients that speak another protocol. Where client and provider both
//! speak OpenAI's, nothing is read this far. What is beside the text may be null or of another form than OpenAI's: it is
//! then not there, and the answer none the worse.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chat::{forgiving, lenient, word};
use super::conversation::{Fields, Hosted, Signatures};
use super::growing::{GROWING_DETAILS, add_element};
use super::halves;
use super::usage::WireUsage;

/// A completion, or a chunk of one; its first choice is the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Answer {
    #[serde(default, deserialize_with = "forgiving")]
    pub id: String,
    #[serde(default, deserialize_with = "forgiving")]
    pub model: String,
    #[serde(default, deserialize_with = "forgiving")]
    pub created: u64,
    #[serde(default, deserialize_with = "nullable")]
    choices: Vec<Choice>,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<WireUsage>,
    /// Perplexity's: the pages of the web that all of the text rests on, in every piece of it.
    #[serde(default, deserialize_with = "forgiving")]
    search_results: Vec<Page>,
}

/// A page of the web.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Page {
    url: String,
    title: Option<String>,
}

impl Page {
    /// As OpenAI's annotations have it: of no piece of the text in particular.
    fn annotation(&self) -> Value {
        let title = self.title.as_ref().unwrap_or(&self.url);
        let page = json!({"url": self.url, "title": title, "start_index": 0, "end_index": 0});
        json!({"type": "url_citation", "url_citation": page})
    }
}

/// One of `n` answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Choice {
    #[serde(default, deserialize_with = "nullable")]
    index: u32,
    /// What it says, or the piece of it: of `whole` and `piece`, which some servers send both, the one that is meant.
    #[serde(skip)]
    pub message: Message,
    #[serde(default, rename = "message")]
    whole: Option<Message>,
    #[serde(default, rename = "delta")]
    piece: Option<Message>,
    #[serde(default, deserialize_with = "word")]
    pub finish_reason: Option<String>,
    /// vLLM's: the stop sequence that ended it, or the number of a token that did.
    #[serde(default)]
    stop_reason: Value,
    /// OpenRouter's: the provider's own word for why it ended.
    #[serde(default, deserialize_with = "lenient")]
    pub native_finish_reason: Option<String>,
    /// What one protocol alone says of the answer.
    #[serde(default, deserialize_with = "lenient")]
    pub hosted: Option<Hosted>,
    #[serde(default, deserialize_with = "forgiving")]
    pub logprobs: Logprobs,
    /// Moonshot's place for that of the answer.
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<WireUsage>,
}

impl Choice {
    /// The stop sequence that it ended at, where that is known.
    pub fn stop_sequence(&self) -> Option<&str> {
        self.stop_reason.as_str()
    }
}

/// Log probabilities of the tokens of a text, each with the likeliest others.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Logprobs {
    #[serde(default, deserialize_with = "nullable")]
    pub content: Vec<Value>,
}

/// What a model said, or a piece of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Message {
    #[serde(default, deserialize_with = "text")]
    pub content: String,
    #[serde(default)]
    pub refusal: Option<String>,
    /// What it thought, as most providers of OpenAI's wire call it.
    #[serde(default, deserialize_with = "text")]
    reasoning_content: String,
    /// The same, as others do; some send it under both names.
    #[serde(default, deserialize_with = "text")]
    reasoning: String,
    /// The same in Anthropic's form, where the provider wants it back; signatures of calls are among them.
    #[serde(default, deserialize_with = "entries")]
    pub thinking_blocks: Vec<Value>,
    /// OpenRouter's: the same in a form of its own, of which some must go back too.
    #[serde(default, deserialize_with = "forgiving")]
    reasoning_details: Vec<Value>,
    #[serde(default, deserialize_with = "nullable")]
    pub tool_calls: Vec<Call>,
    #[serde(default, deserialize_with = "entries")]
    pub annotations: Vec<Value>,
    #[serde(default, deserialize_with = "entries")]
    pub citations: Vec<Value>,
    /// Pictures that it made.
    #[serde(default, deserialize_with = "entries")]
    pub images: Vec<Value>,
    /// Google's, for the signature of the text.
    #[serde(default)]
    pub extra_content: Value,
    /// What it did with tools that one protocol alone knows.
    #[serde(default, deserialize_with = "entries")]
    pub hosted_items: Vec<Value>,
}

impl Message {
    /// What it thought, in words.
    pub fn thoughts(&self) -> &str {
        if self.reasoning_content.is_empty() { &self.reasoning } else { &self.reasoning_content }
    }

    /// What of that none of its `thinking_blocks` shows, or else nothing.
    pub fn unsigned_thoughts(&self) -> Option<&str> {
        let is_shown = |block: &Value| block["type"] != "redacted_thinking";
        let thoughts = Some(self.thoughts()).filter(|thoughts| !thoughts.is_empty());
        thoughts.filter(|_| !self.thinking_blocks.iter().any(is_shown))
    }

    /// How much there is of what is said, in its `text`, thought, drawn and called.
    pub fn fields<'a>(&'a self, text: &'a str) -> Fields<'a> {
        Fields {
            thoughts: self.thinking_blocks.len(),
            text,
            pictures: self.images.len(),
            calls: self.tool_calls.iter().map(|call| call.id.as_deref().unwrap_or_default()).collect(),
        }
    }
}

/// How much of an answer has come.
#[derive(Debug, Default)]
pub struct Grown {
    /// Characters of its text.
    pub said: usize,
    /// Its `thinking_blocks`.
    thoughts: usize,
    /// Its `reasoning_details`.
    details: Vec<Value>,
}

impl Grown {
    /// At its end, the thought that has its details; `None`: they need not go back, or have been told.
    pub fn sealed(&mut self) -> Option<Value> {
        Signatures::seal_details(&std::mem::take(&mut self.details))
    }

    /// The `hosted_items` of its next piece, which says `text`; their places are counted within the piece.
    pub fn items(&mut self, piece: &Message, text: &str) -> Vec<Hosted> {
        let items = Hosted::items(&piece.hosted_items).map(|item| {
            let (after, at) = (item.after.saturating_sub(self.thoughts), item.at.saturating_sub(self.said));
            Hosted { after, at, ..item }
        });
        let items = items.collect();
        self.thoughts += piece.thinking_blocks.len();
        self.said += text.chars().count();
        piece.reasoning_details.iter().for_each(|detail| add_element(&mut self.details, detail, &GROWING_DETAILS));
        items
    }
}

/// A call of a function or of a custom tool, or a piece of one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Call {
    /// Which of the answer's calls a piece belongs to.
    #[serde(default, deserialize_with = "lenient")]
    pub index: Option<usize>,
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub function: Function,
    #[serde(default)]
    pub custom: Option<Custom>,
    /// Google's, for its signature.
    #[serde(default)]
    extra_content: Value,
    /// What one protocol alone says of it.
    #[serde(default, deserialize_with = "lenient")]
    pub hosted: Option<Box<Hosted>>,
}

impl Call {
    /// What only Google can read of it, as a thought.
    fn seal(&self) -> Option<Value> {
        Signatures::seal(self.id.as_deref()?, &self.extra_content)
    }

    /// Of the tool; a later piece has none, or an empty one.
    pub fn name(&self) -> Option<&str> {
        let name = self.custom.as_ref().map_or(&self.function.name, |custom| &custom.name);
        name.as_deref().filter(|name| !name.is_empty())
    }

    /// What a later piece says of whose call it is: more of the name, or all of it again, as some servers do.
    pub fn add_name(&mut self, piece: &Self) {
        let name = self.custom.as_mut().map_or(&mut self.function.name, |custom| &mut custom.name);
        if let Some(more) = piece.name().filter(|more| name.as_deref() != Some(more)) {
            name.get_or_insert_default().push_str(more);
        }
        if self.id.as_ref().is_none_or(String::is_empty) {
            self.id.clone_from(&piece.id);
        }
    }

    /// What the tool is given.
    pub fn text(&self) -> &str {
        self.custom.as_ref().map_or(&self.function.arguments, |custom| &custom.input)
    }

    /// The same, to grow.
    pub fn text_mut(&mut self) -> &mut String {
        match &mut self.custom {
            Some(custom) => &mut custom.input,
            None => &mut self.function.arguments,
        }
    }
}

/// Part of a [`Call`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Function {
    #[serde(default)]
    pub name: Option<String>,
    /// Written as JSON, also where the server gives the object itself.
    #[serde(default, deserialize_with = "written")]
    pub arguments: String,
}

/// Part of a [`Call`] of a custom tool.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Custom {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub input: String,
}

impl Answer {
    /// Reads a completion.
    ///
    /// # Errors
    /// The bytes are not one.
    pub fn whole(body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut answer = Self::read(body, |choice| choice.whole.take().or(choice.piece.take()))?;
        for message in answer.choices.iter_mut().map(|choice| &mut choice.message) {
            message.thinking_blocks.extend(Signatures::seal_details(&message.reasoning_details));
        }
        Ok(answer)
    }

    /// Reads a chunk of a stream.
    ///
    /// # Errors
    /// The bytes are not one.
    pub fn chunk(data: &[u8]) -> Result<Self, serde_json::Error> {
        Self::read(data, |choice| choice.piece.take().or(choice.whole.take()))
    }

    fn read(body: &[u8], said: impl Fn(&mut Choice) -> Option<Message>) -> Result<Self, serde_json::Error> {
        let halved = halves::replaced(body);
        let mut answer: Self = serde_json::from_slice(halved.as_deref().unwrap_or(body))?;
        answer.usage = answer.usage.or_else(|| answer.choices.iter().find_map(|choice| choice.usage));
        for choice in &mut answer.choices {
            choice.message = said(choice).unwrap_or_default();
            choice.message.thinking_blocks.extend(choice.message.tool_calls.iter().filter_map(Call::seal));
        }
        Ok(answer)
    }

    /// The choice of index 0; empty where there is none. Where it ends, the pages that it rests on are among its
    /// annotations.
    pub fn first(&mut self) -> Choice {
        let first = self.choices.iter().position(|choice| choice.index == 0);
        let mut choice = first.map(|i| self.choices.swap_remove(i)).unwrap_or_default();
        if choice.finish_reason.is_some() {
            choice.message.annotations.extend(self.search_results.iter().map(Page::annotation));
        }
        choice
    }
}

/// What an annotation or a citation says: an object named after its type or, as some servers have it, what stands beside the
/// type. `None`: nothing.
pub fn said_of(source: &Value) -> Option<&Value> {
    let named = source["type"].as_str().and_then(|kind| source.get(kind));
    named.into_iter().chain([source]).find(|said| said.is_object())
}

/// A string, null, or a list of text parts.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Text(String),
        Parts(Vec<Part>),
        Other(serde::de::IgnoredAny),
    }
    #[derive(Deserialize)]
    struct Part {
        #[serde(default)]
        text: String,
    }
    Ok(match Option::<Wire>::deserialize(deserializer)? {
        Some(Wire::Text(text)) => text,
        Some(Wire::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        Some(Wire::Other(_)) | None => String::new(),
    })
}

/// A string or null; anything else as the JSON that it is.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    Ok(serde_json::from_str::<Option<String>>(raw).map_or_else(|_| raw.to_owned(), Option::unwrap_or_default))
}

/// A list without the `index` that its entries have in a stream.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    let mut list: Vec<Value> = forgiving(deserializer)?;
    list.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("index")));
    Ok(list)
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_lists_are_read_without_their_places_in_a_stream() {
        let delta = json!({"thinking_blocks": [{"index": 1, "data": "x"}], "images": [{"index": 0, "n": 1}], "citations": null});
        let chunk = json!({"choices": [{"index": 0, "delta": delta}]}).to_string();
        let message = Answer::chunk(chunk.as_bytes()).unwrap().first().message;
        assert_eq!((message.thinking_blocks, message.images), (vec![json!({"data": "x"})], vec![json!({"n": 1})]));
        assert!(message.citations.is_empty());
    }

    #[test]
    fn of_a_message_and_a_piece_the_one_that_is_meant_counts_and_of_thoughts_under_two_names_one() {
        let both = br#"{"choices":[{"message":{"content":"whole"},"delta":{"content":"piece"}}]}"#;
        assert_eq!(Answer::whole(both).unwrap().first().message.content, "whole");
        assert_eq!(Answer::chunk(both).unwrap().first().message.content, "piece");
        let one = br#"{"choices":[{"message":null,"delta":{"content":"piece"}}]}"#;
        assert_eq!(Answer::whole(one).unwrap().first().message.content, "piece");
        for (thoughts, told) in [
            (r#""reasoning":"a","reasoning_content":"a""#, "a"),
            (r#""reasoning":"b","reasoning_content":null"#, "b"),
            (r#""reasoning":{"text":"?"},"reasoning_content":"c""#, "c"),
        ] {
            let chunk = format!(r#"{{"choices":[{{"delta":{{{thoughts}}}}}]}}"#);
            assert_eq!(Answer::chunk(chunk.as_bytes()).unwrap().first().message.thoughts(), told);
        }
    }

    #[test]
    fn what_is_beside_the_text_and_of_another_form_does_not_make_it_unreadable() {
        let odd =
            br#"{"id":null,"model":null,"created":1.5,"usage":"none","search_results":{},"choices":[{"index":null,
            "logprobs":[],"native_finish_reason":7,"delta":{"content":"x","annotations":{},"tool_calls":[
            {"index":-1,"id":3,"function":null}]}}]}"#;
        let message = Answer::chunk(odd).unwrap().first().message;
        assert_eq!((message.content.as_str(), &message.tool_calls[..]), ("x", &[Call::default()][..]));
        assert_eq!(Answer::chunk(br#"{"choices":null}"#).unwrap(), Answer::default());
        assert!(Answer::chunk(br#"{"choices":[{"delta":"x"}]}"#).is_err());
    }

    #[test]
    fn pages_that_come_with_every_piece_are_sources_once() {
        let pages = json!([{"url": "https://a.example", "title": "A", "date": null}, {"url": "https://b.example"}]);
        let annotations = |finish: Value| {
            let choice = json!({"index": 0, "delta": {"content": "x"}, "finish_reason": finish});
            let chunk = json!({"search_results": pages, "choices": [choice]}).to_string();
            Answer::chunk(chunk.as_bytes()).unwrap().first().message.annotations
        };
        assert!(annotations(Value::Null).is_empty());
        let titles: Vec<Value> =
            annotations(json!("stop")).iter().map(|a| a["url_citation"]["title"].clone()).collect();
        assert_eq!(titles, ["A", "https://b.example"]);
    }
}
