//! Edits of an input: of its bytes, of its lines, and of the JSON in it.
//!
//! An input is drawn as one of the corpus and a list of edits, so that one that fails shrinks to few edits of an early one.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The most edits of one input. Most have one or two: each may be the one that is refused, and hide what the others would do.
const EDITS: usize = 6;

/// One change. Places are any number, and count within what there is.
#[derive(Clone, Debug)]
enum Edit {
    /// Changes bits of a byte.
    Flip(u16, u8),
    /// Puts bytes in.
    Insert(u16, Vec<u8>),
    /// Puts in something that is often special.
    Word(u16, u8),
    /// Takes bytes out.
    Remove(u16, u8),
    /// Puts some of the bytes in again.
    Repeat(u16, u8, u8),
    /// Puts in some of another input: from where on, and how much.
    Graft(u16, u16, u16, u8),
    /// Puts a copy of a line somewhere else.
    CopyLine(u16, u16),
    /// Takes a line out.
    DropLine(u16),
    /// Changes something in the JSON that is found.
    Json(u16, u16, JsonEdit),
}

/// A change of one value within a document, which stays JSON.
#[derive(Clone, Debug)]
enum JsonEdit {
    /// Puts something in its place that is often special.
    Put(u8),
    /// Takes it out of its list or object.
    Drop,
    /// Puts a copy of another value in its place.
    Copy(u16),
    /// Adds what it is to its list once more, or to its object under another name.
    Twice(u8),
    /// Changes a number by so much.
    Nudge(i8),
    /// Edits a text.
    Text(u16, String),
}

/// What texts are special to something that is tested here, or to those who wrote such things before.
const WORDS: [&[u8]; 40] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\"",
    b"\\",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b";",
    b",",
    b".",
    b"..",
    b"/",
    b"//",
    b"%",
    b"%00",
    b"%2f",
    b"%ff",
    b"?",
    b"&",
    b"=",
    b"*",
    b" ",
    b"\t",
    b"-",
    b"+",
    b"\xff",
    b"\xc3\x28",
    b"\xf0\x9f\x8e\xab",
    b"\xef\xbb\xbf",
    b"null",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"{\"$\":1}",
    b"%%\n",
];

fn special_values() -> Vec<Value> {
    let deep = (0..100).fold(Value::Null, |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(255),
        json!(65_536),
        json!(200_001),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(0.5),
        json!(-0.0),
        json!(1e300),
        json!(5e-324),
        json!(""),
        json!(" "),
        json!("a"),
        json!("\u{0}"),
        json!("\u{202e}é🎫"),
        json!("x".repeat(65)),
        json!("x".repeat(300)),
        json!("1-4294967295"),
        json!("2030-02-30T25:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("018f0000-0000-7000-8000-000000000000"),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"a": {}}),
        deep,
    ]
}

/// Inputs of this corpus, edited, and now and then bytes of which nobody thought.
pub(super) fn edited(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let seeds = corpus.len();
    let (values, corpus) = (special_values(), std::rc::Rc::new(corpus));
    // A list has mostly edits of one kind: bytes that change tear a document apart before anything within it is looked at.
    let lists = prop_oneof![
        8 => prop::collection::vec(json_edits(), 1..3),
        4 => prop::collection::vec(byte_edits(), 1..3),
        2 => prop::collection::vec(json_edits(), 3..EDITS),
        2 => prop::collection::vec(prop_oneof![json_edits(), byte_edits()], 2..EDITS),
    ];
    let of_corpus = (0..seeds, lists).prop_map(move |(seed, edits)| {
        edits.iter().fold(corpus[seed].clone(), |input, edit| edit.apply(input, &corpus, &values))
    });
    prop_oneof![
        19 => of_corpus,
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn byte_edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (any::<u16>(), 1_u8..).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        2 => (any::<u16>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        4 => (any::<u16>(), any::<u8>()).prop_map(|(at, word)| Edit::Word(at, word)),
        3 => (any::<u16>(), 1_u8..40).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (any::<u16>(), 1_u8..40, 1_u8..30).prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
        2 => (any::<u16>(), any::<u16>(), any::<u16>(), any::<u8>()).prop_map(|(at, seed, from, count)| Edit::Graft(at, seed, from, count)),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(from, to)| Edit::CopyLine(from, to)),
        2 => any::<u16>().prop_map(Edit::DropLine),
    ]
}

fn json_edits() -> impl Strategy<Value = Edit> {
    let edit = prop_oneof![
        4 => any::<u8>().prop_map(JsonEdit::Put),
        2 => Just(JsonEdit::Drop),
        4 => any::<u16>().prop_map(JsonEdit::Copy),
        1 => any::<u8>().prop_map(JsonEdit::Twice),
        2 => any::<i8>().prop_map(JsonEdit::Nudge),
        3 => (any::<u16>(), ".{0,3}|[a-zA-Z0-9:._-]{1,4}").prop_map(|(at, text)| JsonEdit::Text(at, text)),
    ];
    (any::<u16>(), any::<u16>(), edit).prop_map(|(document, node, edit)| Edit::Json(document, node, edit))
}

/// The place among so many that a number stands for; the first where there is none.
fn place(number: u16, of: usize) -> usize {
    usize::from(number) % of.max(1)
}

impl Edit {
    fn apply(&self, mut input: Vec<u8>, corpus: &[Vec<u8>], values: &[Value]) -> Vec<u8> {
        let length = input.len();
        let reach = |at: usize, count: u8| at..length.min(at + usize::from(count));
        match self {
            Self::Flip(at, bits) => {
                if let Some(byte) = input.get_mut(place(*at, length)) {
                    *byte ^= bits;
                }
            }
            Self::Insert(at, bytes) => insert(&mut input, *at, bytes),
            Self::Word(at, word) => insert(&mut input, *at, WORDS[place(u16::from(*word), WORDS.len())]),
            Self::Remove(at, count) => drop(input.drain(reach(place(*at, length), *count))),
            Self::Repeat(at, count, times) => {
                let at = place(*at, length);
                let again = input[reach(at, *count)].repeat(usize::from(*times));
                input.splice(at..at, again);
            }
            Self::Graft(at, seed, from, count) => {
                let seed = &corpus[place(*seed, corpus.len())];
                let from = place(*from, seed.len());
                insert(&mut input, *at, &seed[from..seed.len().min(from + usize::from(*count))]);
            }
            Self::CopyLine(from, to) => {
                let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
                let Some(line) = lines.get(place(*from, lines.len())).copied() else { return input };
                lines.insert(place(*to, lines.len() + 1), line);
                return lines.concat();
            }
            Self::DropLine(line) => {
                let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
                if !lines.is_empty() {
                    lines.remove(place(*line, lines.len()));
                }
                return lines.concat();
            }
            Self::Json(document, node, edit) => return within_json(input, *document, |value| edit.apply(value, *node, values)),
        }
        input
    }
}

fn insert(input: &mut Vec<u8>, at: u16, bytes: &[u8]) {
    let at = place(at, input.len() + 1);
    input.splice(at..at, bytes.iter().copied());
}

/// Edits the input, if it is JSON, or else one of its lines that are lists or objects.
fn within_json(input: Vec<u8>, document: u16, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    if let Ok(mut value) = serde_json::from_slice(&input) {
        edit(&mut value);
        return value.to_string().into_bytes();
    }
    let mut lines: Vec<Vec<u8>> = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let parsed = lines.iter().enumerate().filter_map(|(number, line)| Some((number, serde_json::from_slice(line).ok()?)));
    let mut parsed: Vec<(usize, Value)> =
        parsed.filter(|(_, value): &(usize, Value)| value.is_object() || value.is_array()).collect();
    let chosen = place(document, parsed.len());
    let Some((number, value)) = parsed.get_mut(chosen) else { return input };
    edit(value);
    lines[*number] = value.to_string().into_bytes();
    lines.join(&b'\n')
}

impl JsonEdit {
    fn apply(&self, document: &mut Value, node: u16, values: &[Value]) {
        let mut pointers = Vec::new();
        list(document, &mut String::new(), &mut pointers);
        let pointer = &pointers[place(node, pointers.len())];
        match self {
            Self::Put(value) => put(document, pointer, u16::from(*value), &values.iter().collect::<Vec<_>>()),
            Self::Copy(other) => {
                let others: Vec<Value> = pointers.iter().filter_map(|pointer| document.pointer(pointer)).cloned().collect();
                put(document, pointer, *other, &others.iter().collect::<Vec<_>>());
            }
            Self::Drop => match parent(document, pointer) {
                Some((Value::Object(object), key)) => drop(object.remove(&key)),
                Some((Value::Array(list), key)) => drop(key.parse().ok().map(|at: usize| list.remove(at))),
                _ => *document = Value::Object(Map::new()),
            },
            Self::Twice(name) => {
                let copy = document.pointer(pointer).cloned().unwrap_or_default();
                match parent(document, pointer) {
                    Some((Value::Object(object), key)) => drop(object.insert(format!("{key}{name}"), copy)),
                    Some((Value::Array(list), _)) => list.push(copy),
                    _ => {}
                }
            }
            Self::Nudge(by) => {
                if let Some(value) = document.pointer_mut(pointer) {
                    let nudged = match (value.as_i64(), value.as_f64()) {
                        (Some(number), _) => json!(number.wrapping_add(i64::from(*by))),
                        (None, Some(number)) => json!(number + f64::from(*by) / 7.0),
                        _ => return,
                    };
                    *value = nudged;
                }
            }
            Self::Text(at, text) => {
                if let Some(Value::String(old)) = document.pointer_mut(pointer) {
                    let mut letters: Vec<char> = old.chars().collect();
                    let at = place(*at, letters.len() + 1);
                    // In place of as many, or in between.
                    let until = if at.is_multiple_of(2) { at } else { letters.len().min(at + 1) };
                    letters.splice(at..until, text.chars());
                    *old = letters.into_iter().collect();
                }
            }
        }
    }
}

/// Puts one of these values in the place of another, mostly one of its kind: a number for a text is refused before it is looked at.
fn put(document: &mut Value, pointer: &str, choice: u16, values: &[&Value]) {
    let Some(place_of) = document.pointer_mut(pointer) else { return };
    let kind = std::mem::discriminant(place_of);
    let alike: Vec<&&Value> = values.iter().filter(|value| std::mem::discriminant(**value) == kind).collect();
    let chosen = match alike.get(place(choice / 4, alike.len())) {
        Some(value) if !choice.is_multiple_of(4) => value,
        _ => values[place(choice / 4, values.len())],
    };
    *place_of = chosen.clone();
}

/// What a value stands in, and by which key.
fn parent<'a>(document: &'a mut Value, pointer: &str) -> Option<(&'a mut Value, String)> {
    let (parent, key) = pointer.rsplit_once('/')?;
    Some((document.pointer_mut(parent)?, key.replace("~1", "/").replace("~0", "~")))
}

/// The places of all values of a document.
fn list(value: &Value, pointer: &mut String, pointers: &mut Vec<String>) {
    pointers.push(pointer.clone());
    let length = pointer.len();
    let mut enter = |key: &str, inner: &Value| {
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        list(inner, pointer, pointers);
        pointer.truncate(length);
    };
    match value {
        Value::Array(values) => values.iter().enumerate().for_each(|(at, inner)| enter(&at.to_string(), inner)),
        Value::Object(object) => object.iter().for_each(|(key, inner)| enter(key, inner)),
        _ => {}
    }
}
