//! Zones from text, and answers as lines, for tests.

use super::master_file::{self, Entry, Files};
use super::{Builder, Message, Owner, Question, Zone, encoded, rdata};
use crate::wire::{Name, NameHasher, Rtype, Section};

/// No files to include.
pub(crate) struct NoFiles;

impl Files for NoFiles {
    fn include(&mut self, _: &str, _: &str) -> Result<(String, Vec<u8>), String> {
        Err("there are no other files".to_owned())
    }
}

/// The zone at `origin` that `text` describes.
pub(crate) fn zone(origin: &str, text: &str) -> Zone {
    let origin = Name::from_text(origin).unwrap();
    let mut builder = Builder::new(&origin, 0);
    let read =
        master_file::parse(text.as_bytes(), "zone", &origin, &mut NoFiles, &mut |entry: &Entry<'_>| {
            builder.add(entry.owner, entry.rtype, entry.ttl, entry.rdata).map_err(|error| error.to_string())
        });
    read.unwrap_or_else(|errors| panic!("{errors:?}"));
    builder.finish().unwrap()
}

/// A message as lines of text.
#[derive(Default)]
pub(crate) struct Lines {
    question: Vec<u8>,
    /// The records, each behind its section.
    pub(crate) lines: Vec<String>,
}

impl Message for Lines {
    fn put(&mut self, section: Section, owner: Owner<'_>, count: u16, records: &[u8]) {
        let owner = match owner {
            Owner::Question => &self.question,
            Owner::Name(name) => name,
        };
        let owner = Name::parse_plain(owner, 0).unwrap().0;
        assert_eq!(encoded(records).count(), usize::from(count));
        for record in encoded(records) {
            let rtype = Rtype(u16::from_be_bytes([record[2], record[3]]));
            let ttl = u32::from_be_bytes([record[6], record[7], record[8], record[9]]);
            let mut text = Vec::new();
            rdata::write(rtype, &record[12..], &mut text);
            let section = ["an", "au", "ad"][section as usize];
            self.lines.push(format!("{section} {owner} {ttl} {rtype} {}", String::from_utf8(text).unwrap()));
        }
    }
}

/// The answer of `zone` as lines: the code, `aa` if authoritative, then the records.
pub(crate) fn ask(zone: &Zone, name: &str, qtype: &str, dnssec_ok: bool) -> Vec<String> {
    let name = Name::from_text(name).unwrap();
    let qtype = Rtype::from_text(qtype).unwrap();
    let hash = name.hash_with(NameHasher::process());
    let question = Question { name: &name, hash, qtype, dnssec_ok };
    let mut message = Lines { question: name.as_bytes().to_vec(), lines: Vec::new() };
    let answer = zone.answer(&question, &mut message);
    let aa = if answer.is_authoritative() { " aa" } else { "" };
    message.lines.insert(0, format!("{}{aa}", answer.rcode()));
    answer.complete(&question, &mut message);
    message.lines
}
