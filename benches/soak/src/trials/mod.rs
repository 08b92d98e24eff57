//! All trials, in the order of the table.

mod floods;
mod operator;
mod upstreams;

use crate::trial::Trial;

/// All of them.
pub const ALL: &[Trial] = &[
    floods::STEADY,
    floods::WATER_TORTURE,
    floods::ODD_PACKETS,
    floods::SLOW_TCP,
    upstreams::SILENT,
    upstreams::FLAPPING,
    upstreams::LATE,
    operator::RELOADS,
    operator::HOSTS_FILE,
    operator::STALLED_LOG,
    operator::KILLED,
];
