#![no_main]
#[path = "../properties/upstream_response.rs"]
mod upstream_response;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| upstream_response::hold(bytes));
