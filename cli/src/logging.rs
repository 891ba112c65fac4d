//! Flags that say where output goes.

use model::{LogConfig, LogDriver};

use crate::error::{Error, Result};

/// `--log-driver` and `--log-opt`, each option checked; what they mean together is known with the daemon's own.
pub fn config(driver: Option<&str>, options: &[String]) -> Result<LogConfig> {
    let invalid = |flag, value: &str, reason: String| Error::Flag { flag, value: value.into(), reason };
    let driver = match driver {
        None => LogDriver::Default,
        Some(name) => LogDriver::parse(name).map_err(|error| invalid("--log-driver", name, error.to_string()))?,
    };
    let pair = |option: &String| match option.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
        None => Err(invalid("--log-opt", option, "expected KEY=VALUE".into())),
    };
    let log = LogConfig { driver, options: options.iter().map(pair).collect::<Result<_>>()? };
    log.check().map_err(|error| invalid("--log-opt", &options.join(" "), error.to_string()))?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_and_options_are_known_or_refused_by_name() {
        let options = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let log = config(Some("local"), &options(&["max-size=1m", "max-file=2"])).unwrap();
        assert_eq!((log.driver, log.options.len()), (LogDriver::Local, 2));
        assert_eq!(config(None, &[]).unwrap(), LogConfig::default());
        for (driver, option, words) in [
            ("gelf", "", "gelf"),
            ("local", "max-size", "KEY=VALUE"),
            ("local", "fluentd-address=x", "fluentd-address"),
        ] {
            let texts = if option.is_empty() { Vec::new() } else { options(&[option]) };
            let error = config(Some(driver), &texts).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
