//! What a response comes to: an answer, a denial, a referral, a failure (RFC 2308 2, RFC 1034 4.3.1).

use super::record::{self, Section};
use super::{Flags, Opcode, Rcode, Record, Rtype, WireError, header, u16_at, u32_at};

/// The kinds of responses that `log` tells apart and caches treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// NOERROR with an answer, or with nothing at all.
    Answer,
    /// NOERROR without an answer but with an SOA record: the name exists, the type does not.
    NoData,
    /// NXDOMAIN without an answer.
    NameError,
    /// NOERROR without an answer but with NS records: somebody else is to be asked.
    Referral,
    /// SERVFAIL or NOTIMP.
    ServerError,
    /// Any other code; NXDOMAIN with an answer; a signature out of its time.
    OtherError,
    /// A notice of a change, or part of a zone transfer.
    Meta,
    /// A dynamic update.
    Update,
}

impl Outcome {
    /// The outcome of the response `message`, whose code is `rcode` (all its bits). `signatures_at`, in seconds since 1970, has the validity
    /// of RRSIG records checked (RFC 4034 3.1.5); for a client that did not ask for them it is `None`. Bytes that are no well-formed message are
    /// [`Self::OtherError`].
    pub fn of(message: &[u8], rcode: Rcode, signatures_at: Option<u64>) -> Self {
        Self::read(message, rcode, signatures_at).unwrap_or(Self::OtherError)
    }

    fn read(message: &[u8], rcode: Rcode, signatures_at: Option<u64>) -> Result<Self, WireError> {
        match Flags::of(message).opcode() {
            Opcode::UPDATE => return Ok(Self::Update),
            Opcode::NOTIFY => return Ok(Self::Meta),
            _ => {}
        }
        let [questions, answers, authorities, _] = header::counts(message);
        if questions > 0 {
            let name_end = super::Name::skip(message, header::HEADER_LEN)?;
            if matches!(Rtype(u16_at(message, name_end)?), Rtype::AXFR | Rtype::IXFR) {
                return Ok(Self::Meta);
            }
        }
        if let Some(now) = signatures_at {
            for record in record::records(message) {
                if !is_in_time(message, &record?, now)? {
                    return Ok(Self::OtherError);
                }
            }
        }
        if answers > 0 {
            match rcode {
                Rcode::NOERROR => return Ok(Self::Answer),
                Rcode::NXDOMAIN => return Ok(Self::OtherError),
                _ => {}
            }
        }
        let (mut soa, mut ns) = (false, false);
        if rcode == Rcode::NOERROR && authorities > 0 {
            for record in record::records(message) {
                let record = record?;
                if record.section == Section::Authority {
                    soa |= record.rtype == Rtype::SOA;
                    ns |= record.rtype == Rtype::NS;
                }
            }
        }
        Ok(match rcode {
            Rcode::NOERROR if soa => Self::NoData,
            Rcode::NOERROR if ns => Self::Referral,
            Rcode::NOERROR => Self::Answer,
            Rcode::NXDOMAIN => Self::NameError,
            Rcode::SERVFAIL | Rcode::NOTIMP => Self::ServerError,
            _ => Self::OtherError,
        })
    }

    /// CoreDNS's name for it, the value of the label `log/type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "NOERROR",
            Self::NoData => "NODATA",
            Self::NameError => "NXDOMAIN",
            Self::Referral => "DELEGATION",
            Self::ServerError => "SERVERERROR",
            Self::OtherError => "OTHERERROR",
            Self::Meta => "META",
            Self::Update => "UPDATE",
        }
    }
}

/// Whether the record is no RRSIG, or one that is valid at `now`. Its times are serial numbers (RFC 4034 3.1.5, RFC 1982).
fn is_in_time(message: &[u8], record: &Record, now: u64) -> Result<bool, WireError> {
    if record.rtype != Rtype::RRSIG {
        return Ok(true);
    }
    let rdata = record.rdata(message);
    let (expiration, inception) = (u32_at(rdata, 8)?, u32_at(rdata, 12)?);
    let is_not_before = |later: u32, earlier: u32| later.wrapping_sub(earlier) < 1 << 31;
    let now = now as u32; // seconds modulo 2^32, as the record has them
    Ok(is_not_before(now, inception) && is_not_before(expiration, now))
}

#[cfg(test)]
mod tests {
    use super::super::{Class, compose};
    use super::*;

    fn message(flags: u16, qtype: Rtype, records: &[(usize, Rtype, &[u8])]) -> Vec<u8> {
        let mut m = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x01a\0\0\0\0\x01".to_vec();
        m[15..17].copy_from_slice(&qtype.0.to_be_bytes());
        Flags(Flags::QR | flags).write(&mut m);
        for &(section, rtype, rdata) in records {
            compose::record(&mut m, compose::QUESTION, rtype, Class::IN, 5, rdata);
            let count = header::counts(&m)[section];
            header::set_count(&mut m, section, count + 1);
        }
        m
    }

    #[test]
    fn outcomes_are_told_apart() {
        const A: (usize, Rtype, &[u8]) = (1, Rtype::A, &[1, 2, 3, 4]);
        const SOA: (usize, Rtype, &[u8]) = (2, Rtype::SOA, &[0]);
        const NS: (usize, Rtype, &[u8]) = (2, Rtype::NS, &[0]);
        let check = |flags, qtype, records: &[_], want| {
            let m = message(flags, qtype, records);
            assert_eq!(Outcome::of(&m, Rcode(flags & 15), None), want, "{flags:#x} {records:?}");
        };
        check(0, Rtype::A, &[A], Outcome::Answer);
        check(0, Rtype::A, &[A, SOA], Outcome::Answer);
        check(0, Rtype::A, &[], Outcome::Answer);
        check(0, Rtype::A, &[(3, Rtype::SOA, &[0])], Outcome::Answer);
        check(0, Rtype::A, &[NS, SOA], Outcome::NoData);
        check(0, Rtype::A, &[NS], Outcome::Referral);
        check(3, Rtype::A, &[], Outcome::NameError);
        check(3, Rtype::A, &[SOA], Outcome::NameError);
        check(3, Rtype::A, &[A, SOA], Outcome::OtherError);
        check(2, Rtype::A, &[], Outcome::ServerError);
        check(4, Rtype::A, &[A], Outcome::ServerError);
        check(5, Rtype::A, &[SOA], Outcome::OtherError);
        check(0, Rtype::AXFR, &[SOA], Outcome::Meta);
        check(5, Rtype::IXFR, &[], Outcome::Meta);
        check(4 << 11, Rtype::SOA, &[], Outcome::Meta);
        check(5 << 11, Rtype::SOA, &[], Outcome::Update);
        let cut = message(0, Rtype::A, &[NS]);
        assert_eq!(Outcome::of(&cut[..cut.len() - 1], Rcode::NOERROR, None), Outcome::OtherError);
        assert_eq!(Outcome::of(&[], Rcode::NOERROR, None), Outcome::Answer);
    }

    #[test]
    fn a_signature_counts_only_in_its_time() {
        let mut rdata = [0; 19];
        let mut check = |expiration: u32, inception: u32, now, valid| {
            rdata[8..12].copy_from_slice(&expiration.to_be_bytes());
            rdata[12..16].copy_from_slice(&inception.to_be_bytes());
            let m = message(0, Rtype::A, &[(1, Rtype::A, &[1, 2, 3, 4]), (1, Rtype::RRSIG, &rdata)]);
            let want = if valid { Outcome::Answer } else { Outcome::OtherError };
            assert_eq!(Outcome::of(&m, Rcode::NOERROR, Some(now)), want, "{inception} {now} {expiration}");
            assert_eq!(Outcome::of(&m, Rcode::NOERROR, None), Outcome::Answer);
        };
        check(200, 100, 150, true);
        check(200, 100, 100, true);
        check(200, 100, 200, true);
        check(200, 100, 99, false);
        check(200, 100, 201, false);
        // The numbers go round in 2106.
        check(100, u32::MAX - 100, (1 << 32) + 50, true);
        check(100, u32::MAX - 100, (1 << 32) + 101, false);
    }
}
