//! An [`Outcome`] as one line of JSON.

use std::fmt::Write as _;

use crate::flood::Outcome;

/// `outcomes` as one JSON object on one line. Latencies are in microseconds.
pub fn json(outcomes: &[Outcome]) -> String {
    let mut line = String::from("{\"streams\":[");
    for (number, outcome) in outcomes.iter().enumerate() {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let rcodes: Vec<String> = (outcome.rcodes.iter().enumerate())
            .filter(|&(_, &count)| count > 0)
            .map(|(rcode, count)| format!("\"{rcode}\":{count}"))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "{}{{\"label\":\"{}\",\"sent\":{},\"answered\":{},\"wrong\":{},\"lost\":{},\"strays\":{},\
             \"socket_errors\":{},\"gso\":{},\"qps\":{:.0},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1},\
             \"rcodes\":{{{}}}}}",
            if number == 0 { "" } else { "," },
            outcome.label.escape_default(),
            outcome.sent,
            outcome.answered,
            outcome.wrong,
            outcome.lost,
            outcome.strays,
            outcome.socket_errors,
            outcome.gso,
            outcome.answered_per_second,
            micros(outcome.latency.quantile(0.5)),
            micros(outcome.latency.quantile(0.99)),
            micros(outcome.latency.max()),
            rcodes.join(","),
        );
    }
    line.push_str("]}");
    line
}
