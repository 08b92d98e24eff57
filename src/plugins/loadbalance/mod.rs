#![doc = include_str!("README.md")]

mod config;
mod dice;
mod order;
#[cfg(test)]
mod tests;
mod weights;

use std::cell::RefCell;
use std::sync::Arc;

use self::config::Policy;
use self::dice::Dice;
use self::order::{Placed, Space};
use self::weights::{WeightFile, Weights};
use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup};
use crate::config::{Cidr, Diagnostic};
use crate::upstream::Random;
use crate::wire::{HEADER_LEN, Rcode, Rtype, Section};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "loadbalance",
    summary: "changes the order of addresses from answer to answer",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let config::Config { policy, prefer } = config::configure(setup)?;
    let weights = match policy {
        Policy::RoundRobin => None,
        Policy::Weighted { file, reload } => {
            let file = Arc::new(WeightFile::new(file));
            let at_start = Arc::clone(&file);
            setup.block.on_start.push(Box::new(move || at_start.first_read(reload)));
            if let Some(interval) = reload.positive().filter(|interval| !interval.is_zero()) {
                setup.background(Arc::clone(&file).keep_fresh(interval));
            }
            Some(file)
        }
    };
    Ok(vec![Arc::new(LoadBalance { weights, prefer })])
}

struct LoadBalance {
    /// `None`: round robin.
    weights: Option<Arc<WeightFile>>,
    prefer: Vec<Cidr>,
}

/// What a thread needs to bring answers into order.
struct Desk {
    dice: Dice,
    space: Space,
}

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

impl Desk {
    fn new() -> Self {
        let mut random = Random::kernel();
        let seed = (0..4).fold(0_u64, |seed, _| seed << 16 | u64::from(random.next_u16()));
        Self { dice: Dice::new(seed), space: Space::default() }
    }
}

impl Plugin for LoadBalance {
    fn sees_queries(&self) -> bool {
        false
    }

    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        // One record has but one order; this is where nearly all answers go.
        if has_no_order(response.wire()) {
            return;
        }
        let is_answer = response.is_written() && response.rcode() == Some(Rcode::NOERROR);
        if is_answer && !matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR) {
            DESK.with_borrow_mut(|desk| self.balance(desk.get_or_insert_with(Desk::new), query, response));
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }
}

impl LoadBalance {
    fn balance(&self, desk: &mut Desk, query: &Query, response: &mut Response) {
        let Desk { dice, space } = desk;
        // What is no well-formed message passes as it is.
        let _ = match &self.weights {
            None if self.prefer.is_empty() && order::shuffle_addresses(response.wire_mut(), dice) => Ok(()),
            None => space.order(response.wire_vec(), |message, section, records| {
                self.take_turns(message, section, records, dice);
            }),
            Some(file) if matches!(query.qtype(), Rtype::A | Rtype::AAAA | Rtype::SRV) => {
                let weights = file.weights();
                space.order(response.wire_vec(), |message, section, records| {
                    if section != Section::Authority {
                        put_heaviest_first(message, records, &weights, dice);
                    }
                })
            }
            Some(_) => Ok(()),
        };
    }

    /// Round robin: aliases, other records, addresses by lot, mail exchanges by lot; where networks are preferred, their addresses first, and
    /// other records last.
    fn take_turns(&self, message: &[u8], section: Section, records: &mut [Placed], dice: &mut Dice) {
        if records.len() < 2 {
            return;
        }
        let prefers = !self.prefer.is_empty() && section != Section::Authority;
        for (place, record) in records {
            let rank = rank(record.rtype);
            place.rank = if prefers && rank == OTHERS { LAST } else { rank };
            if matches!(rank, ADDRESSES | MAIL_EXCHANGES) {
                place.turn = dice.roll();
            }
            if prefers && let Some(address) = order::address(message, record) {
                let found = self.prefer.iter().position(|network| network.contains(address));
                place.priority = found.unwrap_or(self.prefer.len()) as u32;
            }
        }
    }
}

/// Whether no section of `message` has two records: the three counts, which stand next to each other, are looked at together.
#[inline]
fn has_no_order(message: &[u8]) -> bool {
    let Some(&[.., a, b, c, d, e, f, g, h]) = message.first_chunk::<HEADER_LEN>() else { return true };
    // Behind the number of questions: all bits of each count but the lowest.
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) & 0xFFFE_FFFE_FFFE == 0
}

/// What kind of record comes when.
const ALIASES: u8 = 0;
const OTHERS: u8 = 1;
const ADDRESSES: u8 = 2;
const MAIL_EXCHANGES: u8 = 3;
const LAST: u8 = 4;

const fn rank(rtype: Rtype) -> u8 {
    match rtype {
        Rtype::CNAME => ALIASES,
        Rtype::A | Rtype::AAAA => ADDRESSES,
        Rtype::MX => MAIL_EXCHANGES,
        _ => OTHERS,
    }
}

/// Weighted: one address, drawn by weight, changes places with the first. A section without addresses stays as it is.
fn put_heaviest_first(message: &[u8], records: &mut [Placed], weights: &Weights, dice: &mut Dice) {
    let is_address = |(_, record): &Placed| rank(record.rtype) == ADDRESSES;
    let weight = |(_, record): &Placed| match (record.owner(message), order::address(message, record)) {
        (Ok(owner), Some(address)) => u32::from(weights.of(&owner, address)),
        _ => u32::from(weights::WEIGHT),
    };
    let Some(first) = records.iter().position(is_address) else { return };
    let sum = records.iter().filter(|placed| is_address(placed)).map(weight).sum();
    let mut drawn = dice.below(sum);
    let is_drawn =
        |placed: &Placed| match drawn.checked_sub(if is_address(placed) { weight(placed) } else { 0 }) {
            Some(left) => {
                drawn = left;
                false
            }
            None => true,
        };
    let chosen = records.iter().position(is_drawn).unwrap_or(first);
    let (turn, chosen_turn) = (records[first].0.turn, records[chosen].0.turn);
    records[first].0.turn = chosen_turn;
    records[chosen].0.turn = turn;
    for (place, record) in records {
        place.rank = rank(record.rtype);
    }
}
