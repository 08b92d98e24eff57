//! What is expected of the answers to one class of queries, and what became of them.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::message;

/// How a good answer looks; any other is counted as wrong.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// Any response to the question, whole.
    Any,
    /// NOERROR with an answer, whole.
    Answer,
    /// What is true of the query and the response to it (whose question was compared already), cut or not.
    Such(fn(&[u8], &[u8]) -> bool),
}

impl Expect {
    /// Whether `response`, which says `reply`, is that to `query`.
    pub(crate) fn is_met(self, query: &[u8], response: &[u8], reply: message::Reply) -> bool {
        match self {
            Self::Any => !reply.truncated,
            Self::Answer => reply.rcode == 0 && reply.answers > 0 && !reply.truncated,
            Self::Such(is_good) => is_good(query, response),
        }
    }
}

/// A query that was lost or answered wrongly.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// When it was sent, from the start of the load.
    pub sent_at: Duration,
    /// The RCODE of the wrong answer; none when there was none.
    pub rcode: Option<u8>,
}

/// So many failures of a stream are told one by one.
pub const FAILURES_TOLD_MAX: usize = 10_000;

/// What became of one stream.
#[derive(Clone)]
pub struct Outcome {
    /// The stream's label.
    pub label: String,
    /// Queries sent.
    pub sent: u64,
    /// Queries answered, well or wrongly.
    pub answered: u64,
    /// Of those answered, the ones that were not as expected (or truncated).
    pub wrong: u64,
    /// Queries unanswered after the timeout.
    pub lost: u64,
    /// Datagrams that answer no query we wait for: late, doubled, or of another question.
    pub strays: u64,
    /// Answers by RCODE.
    pub rcodes: [u64; 16],
    /// Queries answered while sending went on, a second.
    pub answered_per_second: f64,
    /// From handing the query to the kernel to reading the answer, or to its arrival where that is stamped.
    pub latency: Histogram,
    /// Whether queries left by GSO to the end.
    pub gso: bool,
    /// Errors of the sockets (port unreachable and such).
    pub socket_errors: u64,
    /// The first of those that were lost or wrong, at most [`FAILURES_TOLD_MAX`].
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Adds a failure to those that are told.
    pub(crate) fn fail(&mut self, sent_at: u64, rcode: Option<u8>) {
        if self.failures.len() < FAILURES_TOLD_MAX {
            self.failures.push(Failure { sent_at: Duration::from_nanos(sent_at), rcode });
        }
    }
}
