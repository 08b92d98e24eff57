#![no_main]
#[path = "../properties/name.rs"]
mod name;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| name::hold(bytes));
