//! The bare reply server: what a DNS answer over UDP costs when nothing is looked up. The limit of all ratios.
//!
//! One socket, batches of 64, QR flipped, one fixed A record appended. It reads nothing of the query, so it must
//! be asked without EDNS (the record would stand behind the OPT).

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

use waypost_load::args::Args;
use waypost_load::message::{self, HEADER_LEN};
use waypost_load::udp::{Batch, Wait};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let mut args = Args::of_process();
    let listen: SocketAddr = args.value("--listen")?.ok_or("usage: bare --listen ADDRESS:PORT")?;
    args.end()?;
    let socket = UdpSocket::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
    let answer = message::fixed_answer(3600);
    let mut batch = Batch::new(2048, true);
    loop {
        let received = batch.receive(&socket, Wait::ForOne).map_err(|error| error.to_string())?;
        for number in 0..received {
            let (buffer, len) = batch.buffer_mut(number);
            let mut end = len;
            if len >= HEADER_LEN && len + answer.len() <= buffer.len() {
                buffer[2] |= 0x80;
                buffer[7] = 1;
                end += answer.len();
                buffer[len..end].copy_from_slice(&answer);
            }
            batch.set_len(number, end);
        }
        // A client that is gone is no reason to stop.
        let _ = batch.send(&socket, received);
    }
}
