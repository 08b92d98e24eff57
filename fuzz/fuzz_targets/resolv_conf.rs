#![no_main]
#[path = "../properties/resolv_conf.rs"]
mod resolv_conf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| resolv_conf::hold(bytes));
