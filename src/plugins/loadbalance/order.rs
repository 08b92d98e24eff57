//! Which record goes where, and the change of the message.

use std::net::IpAddr;

use super::dice::Dice;
use crate::wire::{HEADER_LEN, Rtype, Section, WireError, compose, expand, header, record, record::Record};

/// Where a record goes within its section: the parts are compared one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// What kind of record it is: aliases come first.
    pub(super) rank: u8,
    /// Among those of its kind; less comes first.
    pub(super) priority: u32,
    /// Among those, by lot or as they stood.
    pub(super) turn: u32,
}

/// A record and its place.
pub(super) type Placed = (Place, Record);

/// What an order needs space for; kept from message to message.
#[derive(Default)]
pub(super) struct Space {
    records: Vec<Placed>,
    bytes: Vec<u8>,
}

/// Space over this is given back, bytes and records: no ordinary answer is so large.
const BYTES_MAX: usize = 65_535;
const RECORDS_MAX: usize = 512;

/// Shuffles the answer section of `message` if it is nothing but addresses of one name and type, as nearly all are, and nothing else is to be
/// ordered. Says whether it was so.
pub(super) fn shuffle_addresses(message: &mut [u8], dice: &mut Dice) -> bool {
    let [_, answers, authorities, additionals] = header::counts(message);
    if authorities > 1 || additionals > 1 {
        return false;
    }
    let Ok(start) = record::questions_end(message) else { return false };
    let Some(section) = message.get_mut(start..) else { return false };
    let records = usize::from(answers);
    match section.get(2..4) {
        Some(&[0, 1]) => shuffle_blocks::<16>(section, records, dice),
        Some(&[0, 28]) => shuffle_blocks::<28>(section, records, dice),
        _ => false,
    }
}

/// Shuffles records of `N` bytes, if they are that and differ in TTL and address alone.
fn shuffle_blocks<const N: usize>(section: &mut [u8], records: usize, dice: &mut Dice) -> bool {
    let (blocks, _) = section.as_chunks_mut::<N>();
    let Some(blocks) = blocks.get_mut(..records) else { return false };
    let Some(&first) = blocks.first() else { return false };
    // The owner is a pointer; behind it stand type, class, TTL and the length of what is left.
    let is_pointer = first[0] >= 0xC0 && usize::from(u16::from_be_bytes([first[10], first[11]])) == N - 12;
    let is_same = |block: &[u8; N]| block[..6] == first[..6] && block[10..12] == first[10..12];
    if !is_pointer || !blocks.iter().all(is_same) {
        return false;
    }
    for at in (1..blocks.len()).rev() {
        blocks.swap(at, dice.below(at as u32 + 1) as usize);
    }
    true
}

impl Space {
    /// Puts the records of `message` into the order that `place` gives: it is called for each section with its records as they stand, which
    /// have turns by their number, and sets their places.
    ///
    /// # Errors
    /// [`WireError`] if it is no well-formed message; it is then unchanged.
    pub(super) fn order(
        &mut self,
        message: &mut Vec<u8>,
        mut place: impl FnMut(&[u8], Section, &mut [Placed]),
    ) -> Result<(), WireError> {
        self.records.clear();
        for (turn, found) in (0..).zip(record::records(message)) {
            let as_it_is = Place { rank: 0, priority: 0, turn };
            self.records.push((as_it_is, found?));
        }
        let mut is_moved = false;
        let mut in_place = true;
        for section in self.records.chunk_by_mut(|a, b| a.1.section == b.1.section) {
            place(message, section[0].1.section, section);
            section.sort_unstable_by_key(|(place, _)| *place);
            if let Some(moved) = moved(section) {
                is_moved = true;
                in_place &= are_blocks(message, moved);
            }
        }
        if is_moved && in_place {
            self.move_blocks(message);
        } else if is_moved {
            self.write_anew(message)?;
        }
        if self.bytes.capacity() > BYTES_MAX {
            self.bytes = Vec::new();
        }
        if self.records.capacity() > RECORDS_MAX {
            self.records = Vec::new();
        }
        Ok(())
    }

    /// Moves records that are all of one form: where one stood, another fits.
    fn move_blocks(&mut self, message: &mut [u8]) {
        for section in self.records.chunk_by(|a, b| a.1.section == b.1.section) {
            let Some(moved) = moved(section) else { continue };
            let start = moved.iter().map(|(_, record)| record.start).min().unwrap_or_default();
            self.bytes.clear();
            for (_, record) in moved {
                self.bytes.extend_from_slice(message.get(record.start..record.end).unwrap_or_default());
            }
            if let Some(place) = message.get_mut(start..start + self.bytes.len()) {
                place.copy_from_slice(&self.bytes);
            }
        }
    }

    /// Writes all records in their new order, with all names in full: pointers to where a name stood would lead elsewhere.
    fn write_anew(&mut self, message: &mut Vec<u8>) -> Result<(), WireError> {
        let question_end = record::questions_end(message)?;
        self.bytes.clear();
        self.bytes.extend_from_slice(&message[..question_end]);
        for (_, record) in &self.records {
            // The owner of most records is the question's name.
            if message[record.start..record.fixed] == *compose::QUESTION && question_end > HEADER_LEN {
                self.bytes.extend_from_slice(compose::QUESTION);
                expand::behind_owner(message, record, &mut self.bytes)?;
            } else {
                expand::record(message, record, &mut self.bytes)?;
            }
        }
        std::mem::swap(message, &mut self.bytes);
        Ok(())
    }
}

/// The records that no longer stand where they stood, and those between them; `None` if all do.
fn moved(section: &[Placed]) -> Option<&[Placed]> {
    // In a section that is not moved each record begins where the one before ends.
    let start = section.iter().map(|(_, record)| record.start).min()?;
    let mut at = start;
    let first = section.iter().position(|(_, record)| {
        let stays = record.start == at;
        at = record.end;
        !stays
    })?;
    let mut at = section.iter().map(|(_, record)| record.end).max()?;
    let last = section.iter().rposition(|(_, record)| {
        let stays = record.end == at;
        at = record.start;
        !stays
    })?;
    section.get(first..=last)
}

/// Whether these records are addresses of one form, with the same pointer as owner.
fn are_blocks(message: &[u8], records: &[Placed]) -> bool {
    let form = |record: &Record| {
        let owner = message.get(record.start..record.fixed)?;
        let is_block = owner.len() == 2 && owner[0] >= 0xC0 && address(message, record).is_some();
        is_block.then_some((owner, record.end - record.start))
    };
    let Some((_, first)) = records.first() else { return true };
    let first = form(first);
    first.is_some() && records.iter().all(|(_, record)| form(record) == first)
}

/// The address in an A or AAAA record.
pub(super) fn address(message: &[u8], record: &Record) -> Option<IpAddr> {
    let rdata = record.rdata(message);
    match record.rtype {
        Rtype::A => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
        Rtype::AAAA => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
        _ => None,
    }
}
