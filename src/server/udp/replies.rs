//! Answers that came later than their batch, sent together with others that did.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::{Reply, is_out_of_room, is_too_large};
use crate::net::{BATCH, Datagram, LocalAddr, Peer, SendBatch};
use crate::server::finish::shrink;
use crate::server::listener::ListenerState;

/// The late answers of one socket. They are no more than the queries that wait, so the queue is bounded by those.
pub(super) struct Replies {
    socket: Rc<AsyncFd<UdpSocket>>,
    queue: RefCell<Vec<Reply>>,
    send: RefCell<SendBatch>,
    wanted: Rc<Notify>,
    state: Arc<ListenerState>,
}

impl Replies {
    pub(super) fn new(socket: Rc<AsyncFd<UdpSocket>>, state: Arc<ListenerState>) -> Self {
        Self {
            socket,
            queue: RefCell::new(Vec::new()),
            send: RefCell::new(SendBatch::new(state.address.is_ipv6(), true)),
            wanted: Rc::new(Notify::new()),
            state,
        }
    }

    /// Sends what tasks have pushed, as long as anybody may push; runs as a task of the worker. Woken by the first answer, it
    /// runs after all tasks that were ready by then, so their answers go out in one call.
    pub(super) async fn send_when_pushed(this: Weak<Self>) {
        loop {
            let Some(wanted) = this.upgrade().map(|this| Rc::clone(&this.wanted)) else { return };
            wanted.notified().await;
            let Some(this) = this.upgrade() else { return };
            this.flush();
        }
    }

    /// Queues the answer `wire` to `peer`.
    pub(super) fn push(&self, had_opt: bool, wire: Vec<u8>, peer: Peer, from: Option<LocalAddr>) {
        let mut queue = self.queue.borrow_mut();
        queue.push(Reply { had_opt, wire, peer, from });
        if queue.len() == 1 {
            self.wanted.notify_one();
        }
    }

    /// Queues an answer that was too large for the path, cut to its question.
    pub(super) fn push_shrunk(&self, had_opt: bool, mut wire: Vec<u8>, peer: Peer, from: Option<LocalAddr>) {
        shrink(had_opt, &mut wire);
        self.push(had_opt, wire, peer, from);
    }

    pub(super) fn flush(&self) {
        let mut replies = std::mem::take(&mut *self.queue.borrow_mut());
        let serving = self.state.serving.load();
        if serving.shed.is_some() {
            // Where not all can leave, the newest do: their clients still wait.
            replies.reverse();
        }
        let mut again = Vec::new();
        let mut is_full = false;
        for chunk in replies.chunks_mut(BATCH) {
            if let (true, Some(shed)) = (is_full, &serving.shed) {
                shed.responses.add(chunk.len() as u64);
                continue;
            }
            let datagram = |i: usize| {
                let reply: &Reply = &chunk[i];
                Datagram { payload: &reply.wire, to: Some(&reply.peer), from: reply.from }
            };
            let mut too_large = Vec::new();
            self.send.borrow_mut().send_each(
                self.socket.get_ref().as_fd(),
                chunk.len(),
                datagram,
                |failure| {
                    if is_too_large(&failure.error) {
                        return too_large.push(failure.index);
                    }
                    is_full |= is_out_of_room(&failure.error);
                    if let Some(shed) = &serving.shed {
                        shed.responses.inc();
                    }
                },
            );
            for index in too_large {
                let reply = &mut chunk[index];
                again.push((reply.had_opt, std::mem::take(&mut reply.wire), reply.peer, reply.from));
            }
        }
        replies.clear();
        {
            // The space goes back, unless more came meanwhile.
            let mut queue = self.queue.borrow_mut();
            if queue.is_empty() && replies.capacity() <= 4 * BATCH {
                *queue = replies;
            }
        }
        for (had_opt, wire, peer, from) in again {
            self.push_shrunk(had_opt, wire, peer, from);
        }
    }
}

impl Drop for Replies {
    /// The listener is closed and the last query that waited has pushed its answer: there is no task left to send it.
    fn drop(&mut self) {
        self.flush();
        // Those that were too large for the path, in their short form.
        self.flush();
    }
}
