//! What plugins say about listeners: `timeouts`, `multisocket`, `shed` and `proxyproto`.

mod sockets;
mod timeouts;
