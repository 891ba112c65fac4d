//! Signals by name and number, as Docker takes them: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`. Pure.

use crate::Error;

const NAMES: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("POLL", 29),
];
/// As libc shows them: the first two real-time signals are its own.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// SIGKILL.
pub const KILL: i32 = 9;
/// SIGTERM, which asks a process to end unless its image says otherwise.
pub const TERM: i32 = 15;

/// The number of the signal that `text` means.
///
/// # Errors
/// [`Error::Signal`] if it means none.
pub fn parse(text: &str) -> Result<i32, Error> {
    let error = || Error::Signal { text: text.chars().take(40).collect() };
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=RTMAX).contains(&number) { Ok(number) } else { Err(error()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |text: &str| text.parse::<u8>().ok().map(i32::from);
    let number = match name {
        "RTMIN" => Some(RTMIN),
        "RTMAX" => Some(RTMAX),
        _ => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(up), _) => offset(up).map(|up| RTMIN + up),
            (_, Some(down)) => offset(down).map(|down| RTMAX - down),
            _ => None,
        },
    };
    number.filter(|number| (RTMIN..=RTMAX).contains(number)).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_nonsense() {
        for (text, number) in [("SIGTERM", 15), ("kill", 9), ("9", 9), ("SIGRTMIN+3", 37), ("rtmax-1", 63)] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "SIGNOPE", "RTMIN+31", "RTMAX-31", "-9"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
