//! A scripted upstream, as cheap as the bare server: answers each query with one fixed A record, late or not at
//! all when told so.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use waypost_load::args::Args;
use waypost_load::message;
use waypost_load::udp::{self, Aside, Batch, Wait};

/// Replies that wait for their time, at most; newer ones are dropped.
const LATE_MAX: usize = 200_000;

const USAGE: &str =
    "usage: upstream --listen ADDRESS:PORT [--ttl SECONDS] [--late-ms MILLISECONDS] [--silent]";

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let mut args = Args::of_process();
    let listen: SocketAddr = args.value("--listen")?.ok_or(USAGE)?;
    let answer = message::fixed_answer(args.value("--ttl")?.unwrap_or(3600));
    let late = Duration::from_millis(args.value("--late-ms")?.unwrap_or(0));
    let silent = args.switch("--silent");
    args.end()?;
    let socket = UdpSocket::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
    udp::set_receive_buffer(&socket, 4 << 20).map_err(|error| error.to_string())?;
    let mut batch = Batch::new(2048, true);
    let mut waiting: VecDeque<(Instant, Aside)> = VecDeque::new();
    loop {
        if let Some((due, reply)) = waiting.front() {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                // A client that is gone is no reason to stop.
                let _ = reply.send(&socket);
                waiting.pop_front();
                continue;
            }
            socket.set_read_timeout(Some(wait)).map_err(|error| error.to_string())?;
        } else if !late.is_zero() {
            socket.set_read_timeout(None).map_err(|error| error.to_string())?;
        }
        let received = match batch.receive(&socket, Wait::ForOne) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.to_string()),
        };
        if silent {
            continue;
        }
        for number in 0..received {
            let (buffer, len) = batch.buffer_mut(number);
            let len = message::respond(buffer, len, &answer);
            batch.set_len(number, len);
        }
        if late.is_zero() {
            let _ = batch.send(&socket, received);
        } else {
            let due = Instant::now() + late;
            let room = LATE_MAX.saturating_sub(waiting.len());
            waiting.extend((0..received.min(room)).map(|number| (due, batch.aside(number))));
        }
    }
}
