#![no_main]
#[expect(dead_code, reason = "its own property is another target's")]
#[path = "../properties/corefile.rs"]
mod corefile;
#[path = "../properties/toml.rs"]
mod toml;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| toml::hold(bytes));
