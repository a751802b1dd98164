//! The text format of Prometheus (exposition format 0.0.4): `# HELP`, `# TYPE`, and a sample a line.

use std::fmt::{Display, Write as _};

use super::histogram::Histogram;

/// A text that grows family by family.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

/// What a family of samples is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// It only grows while the manager runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations by size.
    Histogram,
}

/// Names and values that tell the samples of a family apart.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {PREFIX}{name} {help}"));
        self.line(format_args!("# TYPE {PREFIX}{name} {kind}"));
    }

    /// Writes one sample.
    pub(crate) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.line(format_args!("{PREFIX}{name}{} {value}", braced(labels)));
    }

    /// Writes the samples of a histogram in seconds.
    pub(crate) fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, below) in histogram.cumulative() {
            self.bucket(&bucket, labels, &bound.as_secs_f64().to_string(), below);
        }
        self.bucket(&bucket, labels, "+Inf", histogram.count());
        self.sample(&format!("{name}_sum"), labels, histogram.sum().as_secs_f64());
        self.sample(&format!("{name}_count"), labels, histogram.count());
    }

    fn bucket(&mut self, name: &str, labels: Labels<'_>, bound: &str, below: u64) {
        let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound)]).collect();
        self.sample(name, &labels, below);
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn braced(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A label's value is foreign text where it is a card's label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const PREFIX: &str = "cardinal_keymgr_";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_label_cannot_forge_a_sample() {
        let mut text = Exposition::default();
        text.sample("x", &[("card", "a\"} 1\nforged{\\")], 2);
        assert_eq!(text.finish(), "cardinal_keymgr_x{card=\"a\\\"} 1\\nforged{\\\\\"} 2\n");
    }

    #[test]
    fn a_histogram_has_every_bound_the_sum_and_the_count() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        let mut text = Exposition::default();
        text.family("t_seconds", Kind::Histogram, "How long.");
        text.histogram("t_seconds", &[("ins", "SIGN")], &histogram);
        let text = text.finish();
        for line in [
            "# HELP cardinal_keymgr_t_seconds How long.",
            "# TYPE cardinal_keymgr_t_seconds histogram",
            "cardinal_keymgr_t_seconds_bucket{ins=\"SIGN\",le=\"0.0025\"} 0",
            "cardinal_keymgr_t_seconds_bucket{ins=\"SIGN\",le=\"0.005\"} 1",
            "cardinal_keymgr_t_seconds_bucket{ins=\"SIGN\",le=\"+Inf\"} 1",
            "cardinal_keymgr_t_seconds_sum{ins=\"SIGN\"} 0.003",
            "cardinal_keymgr_t_seconds_count{ins=\"SIGN\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
