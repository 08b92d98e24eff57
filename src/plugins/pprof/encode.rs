//! A profile in the form that `pprof` reads: the message `Profile` of its `profile.proto`, in the encoding of protocol buffers.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::mappings::Mapping;
use super::profile::Profile;
use super::symbols::{Name, Source};

/// `profile` as bytes, to be compressed by gzip. `names` are those of functions by address, `sources` what is known of the files of
/// `mappings`, in the same order.
pub(super) fn encode(
    profile: &Profile,
    mappings: &[Mapping],
    sources: &[Source],
    names: &BTreeMap<u64, Name>,
) -> Vec<u8> {
    let mut strings = Strings::default();
    let mut out = Message::default();
    let nanoseconds = |duration: Duration| duration.as_nanos() as u64;
    let period = nanoseconds(profile.period);
    for (kind, unit) in [("samples", "count"), ("cpu", "nanoseconds")] {
        out.message(1, &value_type(&mut strings, kind, unit));
    }
    let (places, locations, functions) = locate(profile, mappings, names, &mut strings);
    for (stack, ticks) in profile.stacks() {
        let mut sample = Message::default();
        sample.packed(1, stack.addresses().filter_map(|address| places.get(&address).copied()));
        sample.packed(2, [ticks, ticks * period]);
        let mut label = Message::default();
        label.number(1, strings.place("thread"));
        label.number(2, strings.place(stack.thread));
        sample.message(3, &label);
        out.message(2, &sample);
    }
    for ((mapping, source), id) in mappings.iter().zip(sources).zip(1..) {
        let mut message = Message::default();
        message.number(1, id);
        message.number(2, mapping.memory.start);
        message.number(3, mapping.memory.end);
        message.number(4, mapping.offset);
        message.number(5, strings.place(&mapping.path));
        message.number(6, strings.place(&source.build_id));
        message.number(7, u64::from(source.has_symbols));
        out.message(3, &message);
    }
    locations.iter().for_each(|location| out.message(4, location));
    functions.iter().for_each(|function| out.message(5, function));
    let kind = value_type(&mut strings, "cpu", "nanoseconds");
    let comments: Vec<u64> = profile.comments().iter().map(|comment| strings.place(comment)).collect();
    for text in strings.all {
        out.bytes(6, text.as_bytes());
    }
    out.number(9, profile.begun_unix_seconds.saturating_mul(1_000_000_000));
    out.number(10, nanoseconds(profile.took));
    out.message(11, &kind);
    out.number(12, period);
    out.packed(13, comments);
    out.0
}

/// The number of the location of each address, the locations, and the functions that these name.
fn locate(
    profile: &Profile,
    mappings: &[Mapping],
    names: &BTreeMap<u64, Name>,
    strings: &mut Strings,
) -> (HashMap<u64, u64>, Vec<Message>, Vec<Message>) {
    let mut places = HashMap::new();
    let (mut locations, mut functions) = (Vec::new(), Vec::new());
    let mut known: HashMap<&str, u64> = HashMap::new();
    for (stack, _) in profile.stacks() {
        for address in stack.addresses() {
            if places.contains_key(&address) {
                continue;
            }
            let id = locations.len() as u64 + 1;
            places.insert(address, id);
            let mut location = Message::default();
            location.number(1, id);
            let mapping = mappings.iter().position(|mapping| mapping.memory.contains(&address));
            location.number(2, mapping.map_or(0, |at| at as u64 + 1));
            location.number(3, address);
            if let Some(name) = names.get(&address) {
                let function = *known.entry(&name.symbol).or_insert_with(|| {
                    let mut function = Message::default();
                    let id = functions.len() as u64 + 1;
                    function.number(1, id);
                    function.number(2, strings.place(&name.readable));
                    function.number(3, strings.place(&name.symbol));
                    functions.push(function);
                    id
                });
                let mut line = Message::default();
                line.number(1, function);
                location.message(4, &line);
            }
            locations.push(location);
        }
    }
    (places, locations, functions)
}

fn value_type(strings: &mut Strings, kind: &str, unit: &str) -> Message {
    let mut message = Message::default();
    message.number(1, strings.place(kind));
    message.number(2, strings.place(unit));
    message
}

/// The table of strings; the first is empty.
struct Strings {
    all: Vec<String>,
    places: HashMap<String, u64>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { all: vec![String::new()], places: HashMap::from([(String::new(), 0)]) }
    }
}

impl Strings {
    fn place(&mut self, text: &str) -> u64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.all.len() as u64;
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// A message as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// A field that is a number; left out for 0, which is what its absence means.
    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// A field that is a list of numbers.
    fn packed(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut list = Self::default();
        values.into_iter().for_each(|value| list.varint(value));
        if !list.0.is_empty() {
            self.message(field, &list);
        }
    }

    /// Seven bits a byte, the lowest first; the eighth bit says that more come.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
