//! What holds of a message of an upstream, whatever is done to it in whatever order.

use waypost::wire::{Edns, Flags, HEADER_LEN, edns, header, patch, record, size, truncate};

const STEPS_MAX: usize = 16;

/// The first byte says how many steps there are, three bytes each: what is done, and a number. The rest is the message.
pub(super) fn hold(bytes: &[u8]) {
    let Some((&steps, rest)) = bytes.split_first() else { return };
    let Some((steps, message)) = rest.split_at_checked(3 * (usize::from(steps) % STEPS_MAX)) else { return };
    let mut message = message.to_vec();
    for step in steps.chunks_exact(3) {
        let before = message.clone();
        take(step[0], u16::from_be_bytes([step[1], step[2]]), &mut message);
        if is_well_formed(&before) {
            assert!(is_well_formed(&message), "{step:?} made {before:02x?} into {message:02x?}");
        }
    }
}

fn take(step: u8, number: u16, message: &mut Vec<u8>) {
    match step % 6 {
        0 => {
            let Ok(offsets) = patch::ttl_offsets(message) else { return };
            patch::set_ttls(message, &offsets, u32::from(number));
            let least = patch::min_ttl(message).expect("it was well-formed");
            assert!(
                least.is_none_or(|ttl| ttl == u32::from(number) || offsets.is_empty() || has_meta(message))
            );
        }
        1 => {
            let query: Vec<u8> = message.iter().map(u8::to_ascii_uppercase).collect();
            let end = record::questions_end(message).unwrap_or(HEADER_LEN);
            // Length bytes of labels are no letters, types may be: only what is a name may be spelled otherwise.
            if end > HEADER_LEN + 4
                && header::counts(message)[0] == 1
                && message[end - 4..end] == query[end - 4..end]
            {
                patch::copy_question_case(message, &query, end);
            }
        }
        2 => {
            let records = record::records(message).count();
            if let Ok(Some(opt)) = patch::take_opt(message) {
                let (_, end) = Edns::parse(&opt, 0).expect("what is taken out is an OPT record");
                assert_eq!(end, opt.len());
                assert_eq!(record::records(message).count(), records - 1);
            }
        }
        3 => {
            let before = message.clone();
            let limit = usize::from(number);
            let cut = truncate::to_limit(message, limit);
            assert!(!cut || before.len() > limit);
            if !cut && *message != before {
                // Compressed: the same records with the same names.
                assert!(before.len() > limit);
                assert_eq!(size::uncompressed(message), size::uncompressed(&before));
                assert_eq!(header::counts(message), header::counts(&before));
            }
            assert!(message.len() <= limit.max(HEADER_LEN));
            assert!(!cut || message.len() < 4 || Flags::of(message).has(Flags::TC));
        }
        4 => {
            let count = header::counts(message)[3];
            if message.len() >= HEADER_LEN && count < u16::MAX {
                edns::append(message, number, 0, number & 1 == 1, &[]);
                header::set_count(message, 3, count + 1);
            }
        }
        _ => drop(patch::min_ttl(message)),
    }
}

fn has_meta(message: &[u8]) -> bool {
    record::records(message).any(|r| r.is_ok_and(|r| r.rtype.0 >= 249))
}

/// Whether header, question and records are whole, with nothing behind them.
fn is_well_formed(message: &[u8]) -> bool {
    let mut end = record::questions_end(message);
    for record in record::records(message) {
        end = record.map(|record| record.end);
    }
    end == Ok(message.len())
}
