#![no_main]
#[path = "../properties/certificate.rs"]
mod certificate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| certificate::hold(bytes));
