#![no_main]
#[path = "../properties/hosts_file.rs"]
mod hosts_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hosts_file::hold(bytes));
