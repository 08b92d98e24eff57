//! Datagrams that are no good query: cut, flipped, with counts that lie, names that loop, records that overlap.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use waypost_load::message::{self, TYPE_A};

/// How often [`Sender::send`] is to be called for 20,000 datagrams a second.
pub const EVERY: Duration = Duration::from_millis(5);
const EACH: usize = 100;

/// Sends them. The same ones in the same order each time.
pub struct Sender {
    socket: UdpSocket,
    good: Vec<u8>,
    state: u64,
    sent: u64,
}

impl Sender {
    /// A sender to `server`.
    pub fn new(server: SocketAddr) -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| error.to_string())?;
        socket.connect(server).map_err(|error| error.to_string())?;
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        let mut good = message::query_header(1).to_vec();
        message::push_question(&mut good, &message::name_from_text("host0001.bench.example.")?, TYPE_A);
        // An OPT, so that EDNS is mangled too.
        good[11] = 1;
        good.extend_from_slice(&message::PLAIN_OPT);
        Ok(Self { socket, good, state: 0x9e37_79b9_7f4a_7c15, sent: 0 })
    }

    /// Sends a handful, and throws away what came back.
    pub fn send(&mut self) -> Result<(), String> {
        let mut reply = [0; 2048];
        for _ in 0..EACH {
            let odd = self.odd();
            // Refused or not, it was sent.
            let _ = self.socket.send(&odd);
            self.sent += 1;
            while self.socket.recv(&mut reply).is_ok() {}
        }
        Ok(())
    }

    /// How many were sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn odd(&mut self) -> Vec<u8> {
        let mut packet = self.good.clone();
        match self.random(10) {
            0 => packet.truncate(self.random(packet.len())),
            1 => packet[2] |= 0x80,
            2 => packet[2] ^= (self.random(16) as u8) << 3,
            3 => packet[4 + self.random(8)] = self.random(256) as u8,
            // A pointer to itself, or anywhere.
            4 => {
                packet[12] = 0xc0;
                packet[13] = self.random(64) as u8;
            }
            // A label that goes past the end.
            5 => packet[12] = self.random(256) as u8,
            // Two OPTs.
            6 => {
                packet[11] = 2;
                packet.extend_from_slice(&message::PLAIN_OPT);
            }
            // Another EDNS version.
            7 => {
                let version = packet.len() - 5;
                packet[version] = self.random(256) as u8;
            }
            8 => {
                let len = self.random(1400);
                packet = (0..len).map(|_| self.random(256) as u8).collect();
            }
            _ => {
                for _ in 0..=self.random(8) {
                    let at = self.random(packet.len());
                    packet[at] ^= 1 << self.random(8);
                }
            }
        }
        packet
    }

    /// A number below `bound` (xorshift64).
    fn random(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound.max(1) as u64) as usize
    }
}
