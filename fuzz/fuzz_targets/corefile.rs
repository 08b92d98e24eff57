#![no_main]
#[path = "../properties/corefile.rs"]
mod corefile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corefile::hold(bytes));
