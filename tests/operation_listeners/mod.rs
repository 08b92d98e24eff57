//! What plugins say about listeners: `timeouts`, `multisocket`, `shed` and `proxyproto`.

mod proxyproto;
mod shed;
mod sockets;
mod timeouts;
