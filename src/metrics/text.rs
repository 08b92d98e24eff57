//! Prometheus's text exposition format 0.0.4.

use super::family::{Family, Kind};
use std::fmt::{Display, Write};

/// The `Content-Type` of [`render`](super::render)'s page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is being written.
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Appends a family: its two comment lines and its series. One that has no series yet is left out.
    pub(super) fn family(&mut self, family: &dyn Family) {
        let start = self.0.len();
        self.header(family.name(), family.help(), family.kind());
        let header_end = self.0.len();
        family.write_series(self);
        if self.0.len() == header_end {
            self.0.truncate(start);
        }
    }

    /// Appends a family's comment lines.
    pub(super) fn header(&mut self, name: &str, help: &str, kind: Kind) {
        self.push(format_args!("# HELP {name} "));
        push_escaped(&mut self.0, help, false);
        self.push(format_args!("\n# TYPE {name} {kind}\n"));
    }

    /// Appends one line: `name`, labels with their values, then the value.
    pub(super) fn sample(&mut self, name: &str, labels: &[&str], values: &[Box<str>], value: impl Display) {
        self.line(name, "", &label_text(labels, values), None, value);
    }

    /// Appends one line: `name` and `suffix`, the labels as [`label_text`] has them, then `extra`, whose value has nothing to escape, then the
    /// value.
    pub(super) fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &str,
        extra: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let page = &mut self.0;
        page.push_str(name);
        page.push_str(suffix);
        if !labels.is_empty() || extra.is_some() {
            page.push('{');
            page.push_str(labels);
            if let Some((label, value)) = extra {
                if !labels.is_empty() {
                    page.push(',');
                }
                for part in [label, "=\"", value, "\""] {
                    page.push_str(part);
                }
            }
            page.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a String does not fail.
        let _ = self.0.write_fmt(text);
    }
}

/// `labels` with their `values`: `server="dns://:53",zone="example.org."`.
pub(super) fn label_text(labels: &[&str], values: &[Box<str>]) -> String {
    let mut text = String::new();
    for (label, value) in labels.iter().zip(values) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(label);
        text.push_str("=\"");
        push_escaped(&mut text, value, true);
        text.push('"');
    }
    text
}

fn push_escaped(page: &mut String, text: &str, quotes: bool) {
    // Hardly any text has something to escape.
    let is_special = |byte: u8| matches!(byte, b'\\' | b'\n') || (quotes && byte == b'"');
    if !text.bytes().any(is_special) {
        return page.push_str(text);
    }
    for character in text.chars() {
        match character {
            '\\' => page.push_str("\\\\"),
            '\n' => page.push_str("\\n"),
            '"' if quotes => page.push_str("\\\""),
            other => page.push(other),
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::{CounterFamily, GaugeFamily, HistogramFamily, SERIES_PER_FAMILY_MAX, Unit};
    use super::*;

    fn check(family: &dyn Family, expected: &str) {
        let mut text = Text::new();
        text.family(family);
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn counters_are_sorted_by_their_labels() {
        let family = CounterFamily::new("seen_total", "What was seen.", ["where", "what"]);
        check(&family, "");
        family.with(["b", "x"]).inc();
        family.with(["a", "y"]).add(1_000_000_000_000);
        family.with(["a", "x"]);
        family.with(["b", "x"]).inc();
        check(
            &family,
            "# HELP seen_total What was seen.\n# TYPE seen_total counter\n\
             seen_total{where=\"a\",what=\"x\"} 0\n\
             seen_total{where=\"a\",what=\"y\"} 1000000000000\n\
             seen_total{where=\"b\",what=\"x\"} 2\n",
        );
    }

    #[test]
    fn a_family_without_labels_is_there_from_the_start() {
        let family = CounterFamily::new("panics_total", "Panics.", []);
        check(&family, "# HELP panics_total Panics.\n# TYPE panics_total counter\npanics_total 0\n");
        family.with([]).inc();
        check(&family, "# HELP panics_total Panics.\n# TYPE panics_total counter\npanics_total 1\n");
    }

    #[test]
    fn odd_characters_are_escaped() {
        let family = GaugeFamily::new("odd", "back\\slash, \"quotes\"\nline", ["path"]);
        family.with(["C:\\dir\n\"é\""]).set(-0.5);
        check(
            &family,
            "# HELP odd back\\\\slash, \"quotes\"\\nline\n# TYPE odd gauge\nodd{path=\"C:\\\\dir\\n\\\"é\\\"\"} -0.5\n",
        );
    }

    #[test]
    fn scoped_gauges_go_with_their_last_handle() {
        let family = GaugeFamily::new("entries", "Entries.", ["file"]);
        let old = family.scoped(["a"]);
        old.set(1.0);
        let new = family.scoped(["a"]);
        assert_eq!(new.get(), 1.0);
        let gone = family.scoped(["b"]);
        gone.set(7.0);
        let header = "# HELP entries Entries.\n# TYPE entries gauge\n";
        check(&family, &format!("{header}entries{{file=\"a\"}} 1\nentries{{file=\"b\"}} 7\n"));
        drop((old, gone));
        new.add(2.0);
        check(&family, &format!("{header}entries{{file=\"a\"}} 3\n"));
        assert_eq!(family.with(["a"]).get(), 3.0);
        drop(new);
        check(&family, &format!("{header}entries{{file=\"a\"}} 3\n"));
        assert_eq!(family.scoped(["a"]).get(), 3.0);
        check(&family, &format!("{header}entries{{file=\"a\"}} 3\n"));
    }

    #[test]
    fn histograms_cumulate_their_buckets() {
        let family = HistogramFamily::new(
            "took_seconds",
            "Time.",
            ["to"],
            Unit::Nanoseconds,
            &[250_000, 500_000, 8_192_000_000],
        );
        let histogram = family.with(["x"]);
        for value in [0, 250_000, 250_001, 9_000_000_000] {
            histogram.observe(value);
        }
        histogram.observe_duration(std::time::Duration::from_secs(1));
        assert_eq!((histogram.count(), histogram.sum()), (5, 10_000_500_001));
        check(
            &family,
            "# HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
             took_seconds_bucket{to=\"x\",le=\"0.00025\"} 2\n\
             took_seconds_bucket{to=\"x\",le=\"0.0005\"} 3\n\
             took_seconds_bucket{to=\"x\",le=\"8.192\"} 4\n\
             took_seconds_bucket{to=\"x\",le=\"+Inf\"} 5\n\
             took_seconds_sum{to=\"x\"} 10.000500001\n\
             took_seconds_count{to=\"x\"} 5\n",
        );
    }

    #[test]
    fn a_family_that_grows_without_end_is_cut_off_without_losing_counts() {
        let family = CounterFamily::new("many_total", "Many.", ["n"]);
        let gauges = GaugeFamily::new("many", "Many.", ["n"]);
        for number in 0..SERIES_PER_FAMILY_MAX + 10 {
            family.with([&number.to_string()]).inc();
            gauges.scoped([&number.to_string()]).set(1.0);
        }
        let mut text = Text::new();
        text.family(&family);
        let text = text.finish();
        assert_eq!(text.lines().count(), 2 + SERIES_PER_FAMILY_MAX + 1);
        assert!(text.contains("\nmany_total{n=\"overflow\"} 10\n"));
        check(&gauges, "");
    }
}
