//! The representations that attributes have.

/// How a value is represented.
#[derive(Debug)]
pub enum Shape {
    Text,
    Flag,
    /// A boolean whose `false` is printed.
    OptionalFlag,
    /// A boolean of which only `false` is printed.
    OptOut,
    Integer,
    /// An integer whose 0 is printed.
    OptionalInteger,
    Float,
    /// A number of CPUs.
    Cpus,
    Bytes,
    Duration,
    /// A duration whose 0 is printed.
    OptionalDuration,
    /// Permission bits, as an octal string.
    Mode,
    /// A list of strings; one string is a list of one.
    Texts,
    /// A mapping whose null values stay null.
    Environment,
    /// A mapping of strings; null is the empty string.
    Labels,
    MultiOptions,
    Command,
    HealthTest,
    Hosts,
    Ssh,
    Ulimit,
    DeviceCount,
    List(&'static Shape),
    /// A mapping with free keys, whose values may be null.
    Map(&'static Shape),
    Object(&'static [(&'static str, Shape)]),
    Same(&'static Shape),
}
