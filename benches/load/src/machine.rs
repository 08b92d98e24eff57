//! On what a run was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A few lines of Markdown: the machine, the kernel, the day, the commit.
pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = cpu.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "- machine: {} (family {}, model {}), {cores} cores\n- kernel: {}\n- date: {}\n- commit: {}\n\
         - load average before: {}\n",
        value("model name"),
        value("cpu family"),
        value("model\t"),
        line_of("/proc/sys/kernel/osrelease"),
        output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        output("git", &["describe", "--always", "--dirty"]),
        line_of("/proc/loadavg"),
    )
}

fn line_of(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

fn output(program: &str, args: &[&str]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match Command::new(program).args(args).current_dir(here).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".into(),
    }
}
