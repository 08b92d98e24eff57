//! The `process_*` series that Prometheus's client libraries export, read from /proc. One that cannot be read is left
//! out.

use super::family::Kind;
use super::text::Text;
use std::fs;

/// Appends the series.
pub(super) fn write(text: &mut Text) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let files = Files {
        stat: read("/proc/self/stat"),
        status: read("/proc/self/status"),
        limits: read("/proc/self/limits"),
        netstat: read("/proc/self/net/netstat"),
        system_stat: read("/proc/stat"),
        // One of them is the directory that is being read.
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1)),
    };
    files.write(text);
}

/// What the series are read from: files of proc(5), empty where they cannot be read.
struct Files {
    stat: String,
    status: String,
    limits: String,
    netstat: String,
    system_stat: String,
    open_fds: Option<usize>,
}

impl Files {
    fn write(&self, text: &mut Text) {
        let mut sample = |name: &str, kind, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                text.header(name, help, kind);
                text.sample(name, &[], &[], value);
            }
        };
        let cpu_ticks = self.stat_field(14).zip(self.stat_field(15)).map(|(user, system)| user + system);
        sample(
            "process_cpu_seconds_total",
            Kind::Counter,
            "User and system CPU time spent, in seconds.",
            cpu_ticks.map(|ticks| ticks as f64 / TICKS_PER_S),
        );
        sample(
            "process_max_fds",
            Kind::Gauge,
            "How many file descriptors may be open.",
            self.limit("Max open files"),
        );
        sample(
            "process_network_receive_bytes_total",
            Kind::Counter,
            "Bytes received in the process's network namespace.",
            self.octets("InOctets"),
        );
        sample(
            "process_network_transmit_bytes_total",
            Kind::Counter,
            "Bytes sent in the process's network namespace.",
            self.octets("OutOctets"),
        );
        sample(
            "process_open_fds",
            Kind::Gauge,
            "How many file descriptors are open.",
            self.open_fds.map(|count| count as f64),
        );
        sample(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory in bytes.",
            self.status_bytes("VmRSS:"),
        );
        sample(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the process started, as Unix time.",
            self.stat_field(22).zip(self.boot_time()).map(|(ticks, boot)| boot + ticks as f64 / TICKS_PER_S),
        );
        sample(
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Virtual memory in bytes.",
            self.status_bytes("VmSize:"),
        );
        sample(
            "process_virtual_memory_max_bytes",
            Kind::Gauge,
            "How much virtual memory there may be, in bytes.",
            self.limit("Max address space"),
        );
    }

    /// A field of /proc/self/stat by its number in proc(5), from 3 on: those behind the command, which may hold anything.
    fn stat_field(&self, number: usize) -> Option<u64> {
        let (_, behind_command) = self.stat.rsplit_once(')')?;
        behind_command.split_ascii_whitespace().nth(number - 3)?.parse().ok()
    }

    fn status_bytes(&self, key: &str) -> Option<f64> {
        let kib = value_of(&self.status, key)?.strip_suffix("kB")?.trim_end().parse::<u64>().ok()?;
        Some((kib * 1024) as f64)
    }

    /// A soft limit; no limit counts as the largest number there is, as in Go's client.
    fn limit(&self, key: &str) -> Option<f64> {
        match value_of(&self.limits, key)?.split_ascii_whitespace().next()? {
            "unlimited" => Some(u64::MAX as f64),
            number => number.parse().ok(),
        }
    }

    /// A number of the line pair `IpExt:`, the first of which has the names.
    fn octets(&self, name: &str) -> Option<f64> {
        let mut pair = self.netstat.lines().filter_map(|line| line.strip_prefix("IpExt:"));
        let position = pair.next()?.split_ascii_whitespace().position(|found| found == name)?;
        pair.next()?.split_ascii_whitespace().nth(position)?.parse().ok()
    }

    fn boot_time(&self) -> Option<f64> {
        value_of(&self.system_stat, "btime")?.parse().ok()
    }
}

/// The rest of the line that begins with `key`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// USER_HZ, which is 100 on every Linux that Rust runs on.
const TICKS_PER_S: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(files: &Files) -> Vec<String> {
        let mut text = Text::new();
        files.write(&mut text);
        text.finish().lines().filter(|line| !line.starts_with('#')).map(Into::into).collect()
    }

    #[test]
    fn series_are_read_from_proc() {
        let files = Files {
            stat: "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 1 1\n".into(),
            status: "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t  1024 kB\n".into(),
            limits: "Limit  Soft  Hard  Units\nMax open files            1024                 4096   files\n\
                     Max address space         unlimited            unlimited            bytes\n"
                .into(),
            netstat: "TcpExt: A\nTcpExt: 1\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 11 22\n".into(),
            system_stat: "cpu 1\nbtime 1700000000\n".into(),
            open_fds: Some(9),
        };
        assert_eq!(
            samples(&files),
            [
                "process_cpu_seconds_total 3",
                "process_max_fds 1024",
                "process_network_receive_bytes_total 11",
                "process_network_transmit_bytes_total 22",
                "process_open_fds 9",
                "process_resident_memory_bytes 1048576",
                "process_start_time_seconds 1700000123.45",
                "process_virtual_memory_bytes 2097152",
                "process_virtual_memory_max_bytes 18446744073709552000",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let files = Files {
            stat: "7 (x".into(),
            status: "VmRSS:\tmany kB\nVmSize: 1".into(),
            limits: "Max open files".into(),
            netstat: "IpExt: InOctets\n".into(),
            system_stat: String::new(),
            open_fds: None,
        };
        assert_eq!(samples(&files), [""; 0]);
    }
}
