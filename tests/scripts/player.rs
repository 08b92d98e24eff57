//! Plays a script: one step after the other, on a thread and a runtime whose time stands still between them.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, spawn_blocking, spawn_local, yield_now};
use waypost::chain::{Router, Transport, clock};
use waypost::instance::{LoadError, Source, plan};
use waypost::log;
use waypost::server::Offline;

use super::Failure;
use super::script::{Script, Step};
use super::text;
use super::upstream::Upstream;
use crate::support::{TestDir, message};

/// Time passes in pieces of this length, so that what repeats does so as often as it would.
const PIECE: Duration = Duration::from_millis(100);

/// Over a minute the pieces are longer instead of more.
const PIECES_MAX: u128 = 600;

/// How long `soon` lets pass before it asks again.
const AGAIN: Duration = Duration::from_millis(50);

/// Plays `script`; `at` is the line it has reached.
pub(super) fn play(script: &Script, at: &AtomicUsize) -> Result<(), Failure> {
    clock::stop();
    let _lines = log::start_kept();
    let _ends_silent = EndsSilent;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(Default::default())
        .expect("a runtime");
    runtime.block_on(async {
        // While work blocks, the runtime does not move its time by itself whenever there is nothing to do.
        let (_goes_on, ended) = std::sync::mpsc::channel::<()>();
        spawn_blocking(move || ended.recv());
        let mut player = Player::new().await;
        for step in &script.steps {
            at.store(step.line, Ordering::Relaxed);
            player.step(step).await?;
        }
        Ok(())
    })
}

/// Takes away what was logged and not looked at, which would be printed otherwise.
struct EndsSilent;

impl Drop for EndsSilent {
    fn drop(&mut self) {
        log::discard();
    }
}

struct Player {
    dir: TestDir,
    upstreams: Vec<(String, Upstream)>,
    /// The listeners' routing tables, with their ports.
    routers: Vec<(u16, Arc<Router>)>,
    /// Queries whose answers no step has looked at.
    asked: VecDeque<Asked>,
    /// What was logged and no step has looked at.
    lines: Vec<String>,
    /// Seconds the wall clock is ahead.
    wall_ahead: i64,
    echo: UdpSocket,
}

/// A query on its way.
struct Asked {
    /// Its name and type, as the step has them.
    question: [String; 2],
    wire: Vec<u8>,
    answer: JoinHandle<Option<Vec<u8>>>,
}

impl Player {
    async fn new() -> Self {
        let echo = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        echo.connect(echo.local_addr().expect("it is bound")).await.expect("a socket can be its own peer");
        Self {
            dir: TestDir::new(),
            upstreams: Vec::new(),
            routers: Vec::new(),
            asked: VecDeque::new(),
            lines: Vec::new(),
            wall_ahead: 0,
            echo,
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match step.words[0].as_str() {
            "upstream" => self.upstream(step).await,
            "file" => {
                self.dir.replace(step.word(1)?, step.body.join("\n") + "\n");
                Ok(())
            }
            "remove" => {
                self.dir.remove(step.word(1)?);
                Ok(())
            }
            "corefile" => self.corefile(step),
            "query" => {
                let asked = self.ask(step)?;
                self.expect_answer(asked, step).await
            }
            "ask" => {
                let asked = self.ask(step)?;
                self.asked.push_back(asked);
                settle(&self.echo).await;
                Ok(())
            }
            "answer" => {
                let question = [step.word(1)?.to_owned(), step.word(2)?.to_owned()];
                let place = self.asked.iter().position(|asked| asked.question == question);
                let asked = place.and_then(|place| self.asked.remove(place));
                let asked = asked
                    .ok_or_else(|| Failure::new(step.line, "no `ask` came before with that question"))?;
                self.expect_answer(asked, step).await
            }
            "soon" => self.expect_soon(step).await,
            "asked" => self.expect_count(step, false).await,
            "probed" => self.expect_count(step, true).await,
            "advance" => {
                self.advance(step.duration(1)?).await;
                Ok(())
            }
            // The clock of TTLs goes on while the machine sleeps, that of timers does not.
            "suspend" => {
                clock::advance(step.duration(1)?);
                settle(&self.echo).await;
                Ok(())
            }
            "wall" => self.set_wall(step),
            "log" => self.expect_lines(step).await,
            other => Err(Failure::new(step.line, format!("there is no step `{other}`"))),
        }
    }

    async fn upstream(&mut self, step: &Step) -> Result<(), Failure> {
        let name = step.word(1)?;
        if !self.upstreams.iter().any(|(other, _)| other == name) {
            self.upstreams.push((name.to_owned(), Upstream::open().await));
            // So that no name is found within a longer one.
            self.upstreams.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        }
        self.upstream_of(name, step)?.rule(step)
    }

    fn upstream_of(&self, name: &str, step: &Step) -> Result<&Upstream, Failure> {
        let found = self.upstreams.iter().find(|(other, _)| other == name).map(|(_, upstream)| upstream);
        found.ok_or_else(|| Failure::new(step.line, format!("there is no upstream `{name}`")))
    }

    /// `text` with addresses in place of upstreams' names, and the directory in place of `@dir`.
    fn fill_in(&self, text: &str) -> String {
        let text = text.replace("@dir", &self.dir.path().display().to_string());
        self.upstreams.iter().fold(text, |text, (name, upstream)| {
            text.replace(&format!("@{name}"), &upstream.address.to_string())
        })
    }

    fn corefile(&mut self, step: &Step) -> Result<(), Failure> {
        self.dir.write("Corefile", self.fill_in(&step.body.join("\n")) + "\n");
        let refused = |why: &str| {
            let why = why
                .lines()
                .next()
                .unwrap_or_default()
                .replace(&format!("{}/", self.dir.path().display()), "");
            Failure::new(step.line, format!("the Corefile is refused: {why}"))
        };
        let source = Source::File(self.dir.path().join("Corefile"));
        let mut plan = plan(&source, 53).map_err(|error| match error {
            LoadError::Refused(why) => refused(&why.to_string()),
            LoadError::Unreadable(_, error) => refused(&error.to_string()),
        })?;
        plan.run_start_hooks().map_err(|why| refused(&why))?;
        plan.take_background().into_iter().for_each(|task| drop(tokio::spawn(task)));
        self.routers =
            plan.listeners.into_iter().map(|listener| (listener.address.port(), listener.router)).collect();
        Ok(())
    }

    /// Sends the query of a step `… NAME TYPE [WORDS]`.
    fn ask(&self, step: &Step) -> Result<Asked, Failure> {
        let (name, rtype) = (step.word(1)?, step.word(2)?);
        let (mut transport, mut port, mut peer) = (Transport::Udp, None, Ipv4Addr::LOCALHOST.into());
        let query = text::query(name, rtype, &step.words[3..], |word| {
            if word == "tcp" {
                transport = Transport::Tcp;
                return true;
            }
            let Some((what, value)) = word.split_once('=') else { return false };
            match what {
                "port" => value.parse().map(|number| port = Some(number)).is_ok(),
                "from" => value.parse().map(|address| peer = address).is_ok(),
                _ => false,
            }
        });
        let query =
            query.ok_or_else(|| Failure::new(step.line, format!("no query: `{}`", step.words.join(" "))))?;
        let wire = message::wire(&query);
        let Some((first, _)) = self.routers.first() else {
            return Err(Failure::new(step.line, "no `corefile` came before this step"));
        };
        let port = port.unwrap_or(*first);
        let router =
            self.routers.iter().find(|(other, _)| *other == port).map(|(_, router)| Arc::clone(router));
        let router =
            router.ok_or_else(|| Failure::new(step.line, format!("nobody listens on port {port}")))?;
        let mut offline = Offline::new(router);
        offline.transport = transport;
        offline.peer = SocketAddr::new(peer, 40_000);
        offline.local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let sent = wire.clone();
        let answer = spawn_local(async move { offline.answer_later(&sent).await.map(<[u8]>::to_vec) });
        Ok(Asked { question: [name.to_owned(), rtype.to_owned()], wire, answer })
    }

    async fn expect_answer(&self, asked: Asked, step: &Step) -> Result<(), Failure> {
        let got = answer_of(asked, step).await?;
        self.compare(step, "the answer", &got)
    }

    /// Asks again, while time passes, until the answer is as the step says.
    async fn expect_soon(&mut self, step: &Step) -> Result<(), Failure> {
        loop {
            let asked = self.ask(step)?;
            let got = answer_of(asked, step).await?;
            if self.compare(step, "the answer", &got).is_ok() {
                return Ok(());
            }
            self.advance(AGAIN).await;
            // What other threads were given before is done by then, or nearly.
            let _ = spawn_blocking(|| ()).await;
        }
    }

    async fn expect_count(&self, step: &Step, probes: bool) -> Result<(), Failure> {
        let (name, count) = (step.word(1)?, step.words.get(2).map(String::as_str).unwrap_or_default());
        let upstream = self.upstream_of(name, step)?;
        let count =
            if count.is_empty() { return Err(Failure::new(step.line, "how often?")) } else { step.count(2)? };
        upstream.wait_for(count, probes).await;
        settle(&self.echo).await;
        let got = upstream.take_count(probes);
        if got == count {
            return Ok(());
        }
        Err(Failure::new(
            step.line,
            format!("`{name}` was asked not as often as it says\n  expected {count}\n  got {got}"),
        ))
    }

    fn set_wall(&mut self, step: &Step) -> Result<(), Failure> {
        let word = step.word(1)?;
        let sign = if word.starts_with('-') { -1 } else { 1 };
        let plain = word.trim_start_matches(['+', '-']).to_owned();
        let by =
            Step { line: step.line, words: vec!["wall".to_owned(), plain], body: Vec::new() }.duration(1)?;
        self.wall_ahead += sign * i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        clock::set_wall_ahead(self.wall_ahead);
        Ok(())
    }

    async fn expect_lines(&mut self, step: &Step) -> Result<(), Failure> {
        settle(&self.echo).await;
        self.lines.extend(String::from_utf8_lossy(&log::take()).lines().map(str::to_owned));
        let lines = std::mem::take(&mut self.lines);
        self.compare(step, "what was logged", &lines)
    }

    fn compare(&self, step: &Step, what: &str, got: &[String]) -> Result<(), Failure> {
        let expected: Vec<String> = step.lines().map(|(line, _)| self.fill_in(line)).collect();
        if are_alike(&expected, got) {
            return Ok(());
        }
        let list = |lines: &[String]| lines.iter().map(|line| format!("\n    {line}")).collect::<String>();
        let (expected, got) = (list(&expected), list(got));
        Err(Failure::new(step.line, format!("{what} is not as it says\n  expected{expected}\n  got{got}")))
    }

    /// Lets time pass.
    async fn advance(&self, by: Duration) {
        let pieces = (by.as_nanos() / PIECE.as_nanos()).clamp(1, PIECES_MAX) as u32;
        for i in 0..pieces {
            // What is lost by rounding passes with the last piece.
            let piece = if i + 1 == pieces { by - by / pieces * i } else { by / pieces };
            clock::advance(piece);
            tokio::time::advance(piece).await;
            settle(&self.echo).await;
        }
    }
}

/// The lines of an answer, whose question must be the query's to the letter.
async fn answer_of(asked: Asked, step: &Step) -> Result<Vec<String>, Failure> {
    let answer = asked.answer.await.map_err(|panic| Failure::new(step.line, panic.to_string()))?;
    let Some(answer) = answer else { return Ok(vec!["silence".to_owned()]) };
    let question = asked.wire.get(..12 + asked.question[0].len()).unwrap_or_default();
    if answer.get(..2) != asked.wire.get(..2)
        || !answer.get(12..).is_some_and(|rest| rest.starts_with(&question[12..]))
    {
        return Err(Failure::new(step.line, format!("ID or question are not the query's: {answer:02x?}")));
    }
    Ok(text::lines(&answer))
}

/// Lets everything happen that needs no time: what was sent on the loopback arrives in its order, so what was sent before the datagram that
/// is sent here is there when that one is.
async fn settle(echo: &UdpSocket) {
    for _ in 0..ROUNDS {
        echo.send(b"?").await.expect("the loopback takes a byte");
        echo.recv(&mut [0]).await.expect("the loopback returns a byte");
        for _ in 0..TURNS {
            yield_now().await;
        }
    }
}

/// A query, its answer, and what follows from that: enough for what one step can set in motion.
const ROUNDS: usize = 4;
const TURNS: usize = 8;

/// Whether each line is as expected; a line `...` stands for any number of lines, and `...` in a line for any text.
fn are_alike(expected: &[String], got: &[String]) -> bool {
    match (expected, got) {
        ([], []) => true,
        ([any], _) if any == "..." => true,
        ([any, rest @ ..], _) if any == "..." => {
            (0..=got.len()).any(|skipped| are_alike(rest, &got[skipped..]))
        }
        ([first, expected @ ..], [line, got @ ..]) => is_alike(first, line) && are_alike(expected, got),
        _ => false,
    }
}

fn is_alike(expected: &str, got: &str) -> bool {
    match expected.split_once("...") {
        None => expected == got,
        Some((before, after)) => got.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| is_alike(after, &rest[at..]))
        }),
    }
}
