//! Runs dnsperf and reads what it prints.

use std::net::SocketAddr;
use std::path::Path;

use crate::process::{Launch, Output, Process};

/// What dnsperf found.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// Queries answered.
    pub completed: u64,
    /// Queries unanswered after its timeout of 5 s.
    pub lost: u64,
    /// Of those answered, the ones with another RCODE than NOERROR.
    pub wrong: u64,
    /// Answered a second.
    pub per_second: f64,
    /// Mean latency in microseconds.
    pub latency_mean_us: f64,
    /// Longest latency in microseconds.
    pub latency_max_us: f64,
}

/// One run of dnsperf.
pub struct Dnsperf<'a> {
    /// The program.
    pub program: &'a Path,
    /// The server.
    pub target: SocketAddr,
    /// The query file, asked in a circle.
    pub queries: &'a Path,
    /// Client sockets.
    pub clients: usize,
    /// Unanswered queries at once, over all clients.
    pub outstanding: usize,
    /// How long, in whole seconds (it takes no others).
    pub seconds: u64,
    /// The core it runs on.
    pub core: usize,
    /// The file for what it complains about.
    pub stderr: &'a Path,
}

impl Dnsperf<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// A sentence, when it fails or prints what we cannot read.
    pub fn run(&self) -> Result<Found, String> {
        let args = [
            ("-s", self.target.ip().to_string()),
            ("-p", self.target.port().to_string()),
            ("-d", self.queries.display().to_string()),
            ("-c", self.clients.to_string()),
            ("-q", self.outstanding.to_string()),
            ("-l", self.seconds.max(1).to_string()),
        ];
        let process = Process::start(&Launch {
            program: self.program.into(),
            args: args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
            cores: vec![self.core],
            stdout: Output::Kept,
            stderr: self.stderr.into(),
        })?;
        let text = process.finish().map_err(|error| format!("dnsperf {error}"))?;
        parse(&text).ok_or_else(|| format!("dnsperf's output is not understood: {text}"))
    }
}

fn parse(text: &str) -> Option<Found> {
    let after = |key: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(key)).map(str::trim);
    let first = |key: &str| after(key)?.split_ascii_whitespace().next();
    let completed: u64 = first("Queries completed:")?.parse().ok()?;
    let noerror = match after("Response codes:") {
        None => 0,
        Some(codes) => {
            let mut words = codes.split_ascii_whitespace();
            words.find(|&word| word == "NOERROR").and_then(|_| words.next()?.parse().ok()).unwrap_or(0)
        }
    };
    let latency = after("Average Latency (s):")?;
    let latency_max = latency.split("max ").nth(1)?.trim_end_matches(')');
    Some(Found {
        completed,
        lost: first("Queries lost:")?.parse().ok()?,
        wrong: completed.saturating_sub(noerror),
        per_second: first("Queries per second:")?.parse().ok()?,
        latency_mean_us: latency.split_ascii_whitespace().next()?.parse::<f64>().ok()? * 1e6,
        latency_max_us: latency_max.parse::<f64>().ok()? * 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_statistics_are_read() {
        let text = "\
Statistics:

  Queries sent:         1000
  Queries completed:    999 (99.90%)
  Queries lost:         1 (0.10%)

  Response codes:       NOERROR 990 (99.10%), SERVFAIL 9 (0.90%)
  Average packet size:  request 38, response 54
  Run time (s):         3.000042
  Queries per second:   333.33

  Average Latency (s):  0.001121 (min 0.000013, max 0.006919)
  Latency StdDev (s):   0.001296
";
        let found = parse(text).unwrap();
        assert_eq!((found.completed, found.lost, found.wrong), (999, 1, 9));
        assert!((found.per_second - 333.33).abs() < 1e-9);
        assert!(
            (found.latency_mean_us - 1121.0).abs() < 1e-6 && (found.latency_max_us - 6919.0).abs() < 1e-6
        );
        assert_eq!(parse("dnsperf: no"), None);
    }
}
