//! What hosts names feel while something else goes wrong.

use super::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[];
