//! TCP connections that hold a server's attention: a query in single bytes, with long pauses.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use waypost_load::tcp::connect_from;

/// How often [`Crowd::step`] is to be called.
pub const EVERY: Duration = Duration::from_millis(20);
/// Connections held at once.
const CONNECTIONS: usize = 500;
/// New ones a step, so that a server that cuts at once is not drowned in handshakes instead.
const OPENED_EACH: usize = 25;
/// Of one address, under what waypost lets one client have.
const OF_ONE_ADDRESS: u64 = 200;
/// Addresses they come from: more than it takes, as those that were cut count for a moment longer.
const ADDRESSES: u64 = 6;
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_millis(100);

/// The connections.
#[derive(Default)]
pub struct Crowd {
    streams: Vec<TcpStream>,
    turn: usize,
    opened: u64,
}

impl Crowd {
    /// Opens what is missing and sends one byte on a fiftieth of them; those that were cut are let go.
    pub fn step(&mut self, server: SocketAddrV4) -> Result<(), String> {
        self.streams.retain_mut(is_open);
        for _ in self.streams.len()..CONNECTIONS.min(self.streams.len() + OPENED_EACH) {
            // Refusing is the server's right.
            let from = Ipv4Addr::new(127, 2, 0, 1 + (self.opened / OF_ONE_ADDRESS % ADDRESSES) as u8);
            let Ok(stream) = connect_from(from, server, CONNECT_WITHIN) else { break };
            stream.set_nonblocking(true).map_err(|error| error.to_string())?;
            self.streams.push(stream);
            self.opened += 1;
        }
        for _ in 0..CONNECTIONS / 50 {
            self.turn += 1;
            let count = self.streams.len().max(1);
            if let Some(stream) = self.streams.get_mut(self.turn % count) {
                // A length of 0x0101 bytes, which never come.
                let _ = stream.write(&[1]);
            }
        }
        Ok(())
    }

    /// How many were opened so far.
    pub fn opened(&self) -> u64 {
        self.opened
    }
}

fn is_open(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
