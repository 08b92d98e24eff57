//! Notes which compiler and which commit a binary is of, for `-version` and the last line of the banner.

use std::process::Command;

fn main() {
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = run(&rustc, &["--version"]);
    let rust = version.as_deref().and_then(|v| v.split(' ').nth(1)).unwrap_or("unknown");
    // A source without its history (a tarball) says so rather than name a commit of something else around it.
    let revision = std::env::var("WAYPOST_REVISION")
        .ok()
        .or_else(|| {
            std::path::Path::new(".git").exists().then(|| run("git", &["rev-parse", "--short=9", "HEAD"]))?
        })
        .unwrap_or_else(|| "unknown".to_owned());
    // What the compiler was told of frame pointers it tells no program; a profile has to know whether it may follow them.
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut told = flags.split('\x1f').filter_map(|flag| flag.split_once("force-frame-pointers"));
    if told
        .next_back()
        .is_some_and(|(_, value)| matches!(value, "" | "=y" | "=yes" | "=on" | "=true" | "=always"))
    {
        println!("cargo::rustc-cfg=frame_pointers");
    }
    println!("cargo::rustc-check-cfg=cfg(frame_pointers)");
    println!("cargo::rustc-env=WAYPOST_RUST={rust}");
    println!("cargo::rustc-env=WAYPOST_REVISION={revision}");
    println!("cargo::rerun-if-env-changed=WAYPOST_REVISION");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=build.rs");
}
