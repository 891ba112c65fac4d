//! What a node counts, as Prometheus reads it.
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, text format 0.0.4)

use std::fmt::Write;

/// How a number is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up, until its process begins anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number, and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// Names and values that tell it from the others of its name.
    pub labels: Vec<(&'static str, String)>,
    /// The number, in the unit that the metric's name ends with.
    pub value: f64,
}

/// All numbers of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// How it is to be read.
    pub kind: MetricKind,
    /// Its numbers.
    pub samples: Vec<MetricSample>,
}

impl Metric {
    /// A metric that only goes up, without a number yet.
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Counter, samples: Vec::new() }
    }

    /// A metric that goes up and down, without a number yet.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Gauge, samples: Vec::new() }
    }

    /// The same with its only number.
    #[must_use]
    pub fn of(mut self, value: impl Measure) -> Self {
        self.add(Vec::new(), value);
        self
    }

    /// The same with a number for each of several.
    #[must_use]
    pub fn of_each<V: Measure>(mut self, label: &'static str, each: impl IntoIterator<Item = (String, V)>) -> Self {
        for (value, number) in each {
            self.add(vec![(label, value)], number);
        }
        self
    }

    /// Adds a number.
    pub fn add(&mut self, labels: Vec<(&'static str, String)>, value: impl Measure) {
        self.samples.push(MetricSample { labels, value: value.measure() });
    }
}

/// What is a metric's number. Whole numbers above 2^53 lose their last digits, as they do in Prometheus.
pub trait Measure {
    /// As Prometheus has it.
    fn measure(self) -> f64;
}

impl Measure for f64 {
    fn measure(self) -> f64 {
        self
    }
}

impl Measure for bool {
    fn measure(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Measure for u32 {
    fn measure(self) -> f64 {
        f64::from(self)
    }
}

impl Measure for i32 {
    fn measure(self) -> f64 {
        f64::from(self)
    }
}

impl Measure for u64 {
    #[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
    fn measure(self) -> f64 {
        self as f64
    }
}

impl Measure for usize {
    fn measure(self) -> f64 {
        (self as u64).measure()
    }
}

/// Metrics as text. One without a number is left out.
pub fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        // Writing into a string can't fail.
        let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name);
        for sample in &metric.samples {
            text.push_str(metric.name);
            write_labels(&mut text, &sample.labels);
            let _ = writeln!(text, " {}", sample.value);
        }
    }
    text
}

fn write_labels(text: &mut String, labels: &[(&str, String)]) {
    for (index, (name, value)) in labels.iter().enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_as_prometheus_reads_it() {
        let mut memory = Metric::gauge("orca_container_memory_bytes", "Memory that it uses.");
        memory.add(vec![("container", "a \"b\"\\\n".into()), ("id", "1".into())], 12_345_678_u64);
        memory.add(vec![("container", "c".into()), ("id", "2".into())], 0_u64);
        let metrics = [
            Metric::counter("process_cpu_seconds_total", "CPU time of the daemon.").of(1.25),
            memory,
            Metric::gauge("orca_tasks", "Tasks by state.").of_each::<u64>("state", []),
        ];
        let expected = "# HELP process_cpu_seconds_total CPU time of the daemon.\n\
                        # TYPE process_cpu_seconds_total counter\n\
                        process_cpu_seconds_total 1.25\n\
                        # HELP orca_container_memory_bytes Memory that it uses.\n\
                        # TYPE orca_container_memory_bytes gauge\n\
                        orca_container_memory_bytes{container=\"a \\\"b\\\"\\\\\\n\",id=\"1\"} 12345678\n\
                        orca_container_memory_bytes{container=\"c\",id=\"2\"} 0\n";
        assert_eq!(exposition(&metrics), expected);
    }
}
