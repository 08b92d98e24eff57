#![no_main]
#[path = "../properties/message.rs"]
mod message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| message::hold(bytes));
