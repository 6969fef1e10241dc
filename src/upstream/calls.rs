//! Pieces of calls in streams of OpenAI's wire. Clients put a call together by its `index`, and some servers give none, or
//! the same to all: each call has its own id there.

use std::borrow::Cow;
use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::FixedState;
use serde::Deserialize;
use serde_json::Value;

/// Most calls of one stream that are told apart. OpenAI's models know 128 tools.
const MAX_CALLS: usize = 256;

/// The calls of one stream so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    choice: u32,
    /// Its index as the server has it.
    given: Option<usize>,
    /// The same as clients have it: no other call of the choice has it.
    index: usize,
    /// The hash of its id.
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Piece<'a>>>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    function: Option<Tool<'a>>,
    #[serde(borrow, default)]
    custom: Option<Tool<'a>>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
}

impl Choice<'_> {
    fn pieces(&self) -> impl Iterator<Item = (u32, &Piece<'_>)> {
        let pieces = self.delta.iter().flat_map(|delta| &delta.tool_calls).flatten();
        pieces.map(|piece| (self.index.unwrap_or(0), piece))
    }
}

impl Piece<'_> {
    fn names_a_tool(&self) -> bool {
        let mut tools = self.function.iter().chain(&self.custom);
        tools.any(|tool| tool.name.as_ref().is_some_and(|name| !name.is_empty()))
    }

    fn id(&self) -> Option<u64> {
        let id = self.id.as_deref().filter(|id| !id.is_empty());
        id.map(|id| FixedState::default().hash_one(id))
    }
}

impl Calls {
    /// The chunk with each piece of a call under an index that no other call has; unchanged where that is so already.
    pub(super) fn numbered(&mut self, data: Bytes) -> Bytes {
        let Ok(Chunk { choices }) = serde_json::from_slice(&data) else { return data };
        let mut right = true;
        let mut index = |(choice, piece): (u32, &Piece)| {
            let index = self.index(choice, piece);
            right &= piece.index == Some(index);
            index
        };
        let indices: Vec<Vec<usize>> = choices.iter().map(|choice| choice.pieces().map(&mut index).collect()).collect();
        if right { data } else { renumbered(&data, indices).unwrap_or(data) }
    }

    fn index(&mut self, choice: u32, piece: &Piece) -> usize {
        let id = piece.id();
        if let Some(place) = self.place(choice, piece, id) {
            let call = &mut self.0[place];
            call.id = call.id.or(id);
            return call.index;
        }
        let indices = || self.0.iter().filter(|call| call.choice == choice).map(|call| call.index);
        if !piece.names_a_tool() || self.0.len() == MAX_CALLS {
            return piece.index.or(indices().next_back()).unwrap_or(0);
        }
        let own = piece.index.filter(|index| indices().all(|other| other != *index));
        let index = own.unwrap_or_else(|| indices().max().map_or(0, |last| last.saturating_add(1)));
        self.0.push(Call { choice, given: piece.index, index, id });
        index
    }

    /// Which call a piece continues: the one with its id, else the last with its index, unless the piece clearly begins a
    /// new call: it names a tool, and has another id or neither index nor id. `None`: there is no such call.
    fn place(&self, choice: u32, piece: &Piece, id: Option<u64>) -> Option<usize> {
        let is_of = |call: &Call| call.choice == choice && call.given == piece.index;
        let of_id = id.and_then(|id| self.0.iter().position(|call| is_of(call) && call.id == Some(id)));
        of_id.or_else(|| {
            let last = self.0.iter().rposition(is_of)?;
            let another = match id {
                Some(_) => self.0[last].id.is_some(),
                None => piece.index.is_none(),
            };
            (!another || !piece.names_a_tool()).then_some(last)
        })
    }
}

/// `indices` of the pieces in each choice.
fn renumbered(data: &[u8], indices: Vec<Vec<usize>>) -> Option<Bytes> {
    let mut chunk: Value = serde_json::from_slice(data).ok()?;
    for (choice, indices) in chunk.get_mut("choices")?.as_array_mut()?.iter_mut().zip(indices) {
        let calls = choice.pointer_mut("/delta/tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
        for (call, index) in calls.zip(indices).filter_map(|(call, index)| Some((call.as_object_mut()?, index))) {
            call.insert("index".into(), index.into());
        }
    }
    serde_json::to_vec(&chunk).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(calls: &str) -> Bytes {
        format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":{calls}}}}}]}}"#).into()
    }

    fn call(id: usize) -> Bytes {
        chunk(&format!(r#"[{{"index":0,"id":"{id}","function":{{"name":"f","arguments":""}}}}]"#))
    }

    #[test]
    fn what_is_no_chunk_of_calls_stays_as_it_is() {
        let none =
            ["nonsense", "{}", r#"{"choices":[{"delta":null}]}"#, r#"{"choices":[{"delta":{"tool_calls":null}}]}"#];
        let odd = [r#"[{"index":-1,"id":"a"}]"#, r#"[{"index":0.5}]"#, "[1]"].map(chunk);
        for data in none.map(|data| Bytes::from_static(data.as_bytes())).into_iter().chain(odd) {
            assert_eq!(Calls::default().numbered(data.clone()).as_ptr(), data.as_ptr());
        }
    }

    #[test]
    fn lists_in_place_of_objects_stay_what_they_are() {
        let calls = r#"[[null,"a"],{"id":"b","function":{"name":"f"}}]"#;
        let told = Calls::default().numbered(chunk(calls));
        assert_eq!(told, chunk(r#"[[null,"a"],{"id":"b","function":{"name":"f"},"index":0}]"#));
        for data in [r#"[[{"index":0,"delta":{"tool_calls":[{}]}}]]"#, r#"{"choices":[[0,{"tool_calls":[{}]}]]}"#] {
            let data = Bytes::from_static(data.as_bytes());
            assert_eq!(Calls::default().numbered(data.clone()), data);
        }
    }

    #[test]
    fn so_many_are_told_apart_and_no_more() {
        let mut calls = Calls::default();
        for i in 1..=MAX_CALLS {
            assert_eq!(calls.numbered(call(i)) == call(i), i == 1);
        }
        assert_eq!(calls.numbered(call(0)), call(0));
        assert_eq!(calls.0.len(), MAX_CALLS);
    }

    #[test]
    fn the_largest_index_has_no_next() {
        let mut calls = Calls::default();
        for id in ["a", "b"] {
            let piece = format!(r#"[{{"index":{},"id":"{id}","function":{{"name":"f"}}}}]"#, usize::MAX);
            assert_eq!(calls.numbered(chunk(&piece)), chunk(&piece));
        }
    }
}
