use super::*;

fn config(driver: LogDriver, options: &[(&str, &str)]) -> LogConfig {
    let options = options.iter().map(|(option, value)| ((*option).to_owned(), (*value).to_owned()));
    LogConfig { driver, options: options.collect() }
}

fn parse(driver: LogDriver, options: &[(&str, &str)]) -> Result<LogOptions, String> {
    LogOptions::parse(&config(driver, options)).map_err(|error| error.to_string())
}

#[test]
fn sizes() {
    for (text, bytes) in
        [("10m", Some(10 << 20)), ("1KB", Some(1024)), ("7", Some(7)), ("-1", Some(0)), ("x", None), ("1x", None)]
    {
        assert_eq!(size(text), bytes, "{text}");
    }
}

#[test]
fn defaults_are_dockers() {
    let file = |driver| parse(driver, &[]).unwrap().file.map(|file| (file.max_size, file.max_files, file.compress));
    assert_eq!(file(LogDriver::JsonFile), Some((0, 1, false)));
    assert_eq!(file(LogDriver::Local), Some((20 << 20, 5, true)));
    assert_eq!(file(LogDriver::Journald), Some((20 << 20, 5, true)));
    assert_eq!(file(LogDriver::None), None);
    assert_eq!(parse(LogDriver::Syslog, &[("cache-disabled", "true")]).unwrap().file, None);
    assert_eq!(parse(LogDriver::JsonFile, &[("mode", "non-blocking")]).unwrap().buffer, Some(1 << 20));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    use LogDriver::{Journald, JsonFile, Local, None, Syslog};
    for (driver, options, words) in [
        (JsonFile, &[("max-size", "big")][..], "max-size=big: give a size"),
        (JsonFile, &[("max-file", "3")], "it needs max-size"),
        (JsonFile, &[("compress", "true")], "it needs max-size, and max-file"),
        (JsonFile, &[("compress", "perhaps")], "give true or false"),
        (JsonFile, &[("max-buffer-size", "1m")], "it needs mode=non-blocking"),
        (JsonFile, &[("syslog-address", "udp://127.0.0.1")], "\"syslog-address\" is not one of json-file's"),
        (Local, &[("tag", "x")], "\"tag\" is not one of local's"),
        (None, &[("max-size", "1m")], "\"max-size\" is not one of none's"),
        (Journald, &[("mode", "maybe")], "give blocking or non-blocking"),
        (Syslog, &[("syslog-address", "tls://127.0.0.1")], "is not one of udp, tcp, tcp+tls, unix"),
        (Syslog, &[("syslog-address", "udp://logs..example.com:514")], "give the name or the address"),
        (Syslog, &[("syslog-address", "udp://logs.example.com:x")], "is no port"),
        (Syslog, &[("syslog-facility", "local8")], "give a name"),
        (Syslog, &[("syslog-format", "rfc1")], "give rfc3164"),
        (Syslog, &[("syslog-tls-ca", "/x")], "\"syslog-tls-ca\" is not one of syslog's"),
        (Syslog, &[("syslog-tls-ca-cert", "/x")], "it is for a syslog-address with tcp+tls://"),
        (Syslog, &[("syslog-address", "tcp+tls://h"), ("syslog-tls-cert", "/x")], "it needs syslog-tls-key"),
        (Syslog, &[("syslog-address", "tcp+tls://h"), ("syslog-tls-ca-cert", "x")], "give an absolute path"),
    ] {
        let error = parse(driver, options).unwrap_err();
        assert!(error.contains(words), "{options:?}: {error}");
    }
    assert!(LogDriver::parse("gelf").unwrap_err().to_string().contains("\"gelf\" is not supported"));
}

#[test]
fn addresses_of_syslog() {
    let server = |text: &str| parse(LogDriver::Syslog, &[("syslog-address", text)]).unwrap().syslog.server;
    let remote = |transport, host: &str, port| SyslogServer::Remote { transport, host: host.into(), port };
    assert_eq!(server("udp://192.0.2.1"), remote(SyslogTransport::Udp, "192.0.2.1", 514));
    assert_eq!(server("tcp://[::1]:99"), remote(SyslogTransport::Tcp, "::1", 99));
    assert_eq!(server("udp://[::1]"), remote(SyslogTransport::Udp, "::1", 514));
    assert_eq!(server("tcp://localhost:601"), remote(SyslogTransport::Tcp, "localhost", 601));
    assert_eq!(server("tcp+tls://logs.example.com:6514"), remote(SyslogTransport::Tls, "logs.example.com", 6514));
    assert_eq!(server("unix:///dev/log"), SyslogServer::Unix("/dev/log".into()));
}

#[test]
fn the_nodes_setting_fills_what_is_left_open() {
    let node = config(LogDriver::JsonFile, &[("max-size", "10m"), ("max-file", "3")]);
    assert_eq!(LogConfig::default().over(&node), node);
    let own = config(LogDriver::JsonFile, &[("max-size", "1m")]).over(&node);
    assert_eq!(own, config(LogDriver::JsonFile, &[("max-size", "1m"), ("max-file", "3")]));
    assert_eq!(config(LogDriver::Local, &[]).over(&node), config(LogDriver::Local, &[]));
    assert_eq!(LogConfig::default().over(&LogConfig::default()).driver, LogDriver::JsonFile);
}
