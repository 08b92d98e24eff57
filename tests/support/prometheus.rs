//! Debian's Prometheus, which asks for pages of metrics and then answers what dashboards and alerts ask of it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::http::try_get;
use super::{Lines, PATIENCE, TestDir, eventually, next_port, say, tools};

/// How often it is started anew because its port was taken meanwhile.
const ATTEMPTS: usize = 5;

/// A page that is asked each second.
pub(crate) struct Target<'a> {
    /// The label `job`.
    pub(crate) job: &'a str,
    /// The port of the loopback whose `/metrics` it is.
    pub(crate) port: u16,
    /// More labels of all its series.
    pub(crate) labels: &'a [(&'a str, &'a str)],
}

/// A Prometheus with its database in a directory of its own; killed when dropped.
pub(crate) struct Prometheus {
    child: Child,
    port: u16,
    said: Lines,
    _dir: TestDir,
}

/// One element of an answer: its labels, as JSON, and its value.
pub(crate) struct Sample {
    labels: String,
    pub(crate) value: f64,
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.labels, self.value)
    }
}

impl Prometheus {
    /// A Prometheus that asks `targets`; `None`, having said so loudly, if it is not installed.
    pub(crate) fn start(test: &str, targets: &[Target<'_>]) -> Option<Self> {
        if Command::new("prometheus")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            say(&format!("SKIPPED: {test}: {}", tools::missing("prometheus")));
            return None;
        }
        for _ in 0..ATTEMPTS {
            let server = Self::launch(targets);
            let mut serves = false;
            eventually("Prometheus is ready or ends", || {
                serves = try_get(server.port, "/-/ready").is_some_and(|(status, _)| status == 200);
                serves || server.said.has_ended()
            });
            if serves {
                return Some(server);
            }
            let said = server.said.text();
            assert!(said.contains("address already in use"), "Prometheus does not start:\n{said}");
        }
        panic!("somebody takes every port before Prometheus does");
    }

    fn launch(targets: &[Target<'_>]) -> Self {
        let (dir, port) = (TestDir::new(), next_port());
        dir.write("prometheus.yml", config(targets));
        // Should this process die, so does it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prometheus", "--log.level=warn"]);
        command.arg(format!("--config.file={}", dir.join("prometheus.yml")));
        command.arg(format!("--storage.tsdb.path={}", dir.join("db")));
        command.arg("--storage.tsdb.retention.size=64MB");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.current_dir(dir.path()).env("GOMAXPROCS", "1").env("GOMEMLIMIT", "256MiB");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{}", tools::missing("setpriv"))
            }
            Err(error) => panic!("prometheus: {error}"),
        };
        let said = child.stderr.take().map_or_else(Lines::none, Lines::gather);
        Self { child, port, said, _dir: dir }
    }

    /// What `expression` (PromQL) is now.
    ///
    /// # Errors
    /// What Prometheus says is wrong with it.
    pub(crate) fn ask(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let data = self.api(&format!("query?query={}", escaped(expression)))?;
        let read = |labels: &Value, value: &Value| Sample {
            labels: labels.to_string(),
            value: value[1].as_str().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN),
        };
        let result = &data["result"];
        match data["resultType"].as_str() {
            Some("vector") => Ok(result
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| read(&one["metric"], &one["value"]))
                .collect()),
            Some("scalar") => Ok(vec![read(&Value::Null, result)]),
            other => Err(format!("a result of the type {other:?}")),
        }
    }

    /// The values that `label` has in the series that `selector` takes: what fills the menus of a dashboard.
    pub(crate) fn label_values(&self, label: &str, selector: &str) -> Vec<String> {
        let values = self.api(&format!("label/{label}/values?match[]={}", escaped(selector)));
        let values = values.unwrap_or_else(|error| panic!("{selector}: {error}"));
        values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }

    /// What it has printed: warnings and errors.
    pub(crate) fn said(&self) -> String {
        self.said.text()
    }

    /// Whom it asks: the job, whether it is `up`, and what was wrong if not.
    pub(crate) fn targets(&self) -> Vec<(String, String, String)> {
        let data = self.api("targets?state=active").expect("it knows its targets");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let targets = data["activeTargets"].as_array().into_iter().flatten();
        targets
            .map(|one| (text(&one["labels"]["job"]), text(&one["health"]), text(&one["lastError"])))
            .collect()
    }

    /// The `data` of an answer.
    fn api(&self, call: &str) -> Result<Value, String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .expect("Prometheus listens as long as it runs");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
        // A client of HTTP/1.0 gets its answer in one piece.
        let request = format!("GET /api/v1/{call} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request is small");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("Prometheus answers");
        let (_, body) = text.split_once("\r\n\r\n").expect("it speaks HTTP");
        let mut answer: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(answer["error"].as_str().unwrap_or(body).to_owned()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            say(&format!("--- prometheus\n{}\n---", self.said.text()));
        }
    }
}

fn config(targets: &[Target<'_>]) -> String {
    let mut text = "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n".to_owned();
    for Target { job, port, labels } in targets {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
        text += &format!("- job_name: \"{job}\"\n  static_configs:\n  - targets: [\"127.0.0.1:{port}\"]\n");
        text += &format!("    labels: {{ {} }}\n", labels.join(", "));
    }
    text
}

/// `text` as part of the query of a URL (RFC 3986 2.1).
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What `promtool check metrics` says of a page; nothing if it has nothing against it.
pub(crate) fn check(page: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it comes with prometheus");
    child.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("it reads the page");
    let output = child.wait_with_output().expect("a child of ours can be waited for");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() { text.into_owned() } else { format!("{}\n{text}", output.status) }
}
