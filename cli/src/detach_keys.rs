//! The keys that let go of a container without ending it. Pure.

/// Docker's: ctrl-p, then ctrl-q.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// Looks for the keys in what is typed. What may be the beginning of them is held back until the next key decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    held: Vec<u8>,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`, `a,b`, `ctrl-@`: characters, or `ctrl-` and one of `a-z@[\]^_`. Empty: no keys at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys: Result<Vec<u8>, String> = match text {
            "" => Ok(Vec::new()),
            text => text.split(',').map(key).collect(),
        };
        Ok(Self { keys: keys?, held: Vec::new() })
    }

    /// What of `typed` goes to the container, and whether the keys have been pressed: nothing after them goes.
    pub fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(typed.len());
        for &byte in typed {
            self.held.push(byte);
            // The longest end of what was typed that may still become the keys stays.
            let begins = |from: &usize| self.keys.starts_with(&self.held[*from..]);
            let from = (0..self.held.len()).find(begins).unwrap_or(self.held.len());
            passed.extend(self.held.drain(..from));
            if self.held == self.keys {
                self.held.clear();
                return (passed, true);
            }
        }
        (passed, false)
    }
}

fn key(text: &str) -> Result<u8, String> {
    let error = || format!("unknown key {text:?}: expected characters or ctrl-X, separated by commas");
    match (text.strip_prefix("ctrl-"), text.as_bytes()) {
        (Some(rest), _) => match rest.as_bytes() {
            [letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
            [b'@'] => Ok(0),
            [other @ b'['..=b'_'] => Ok(other - b'[' + 27),
            _ => Err(error()),
        },
        (None, [byte]) if byte.is_ascii() => Ok(*byte),
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> DetachKeys {
        DetachKeys::parse(text).unwrap()
    }

    #[test]
    fn names_of_keys() {
        assert_eq!(keys(DEFAULT).keys, [0x10, 0x11]);
        assert_eq!(keys("ctrl-@,a,ctrl-[,ctrl-_").keys, [0, b'a', 27, 31]);
        assert!(keys("").keys.is_empty());
        for bad in ["ctrl-", "ctrl-P", "ab", "a,", ",", "ctrl-1", "é"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_keys_are_found_over_several_reads() {
        let mut found = keys(DEFAULT);
        assert_eq!(found.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(found.feed(b"\x11rest"), (Vec::new(), true));
    }

    #[test]
    fn what_turns_out_to_be_something_else_is_passed_whole() {
        let mut found = keys(DEFAULT);
        assert_eq!(found.feed(b"\x10"), (Vec::new(), false));
        assert_eq!(found.feed(b"x"), (b"\x10x".to_vec(), false));
        assert_eq!(found.feed(b"\x10\x10\x11"), (b"\x10".to_vec(), true));
        let mut found = keys("a,a,b");
        assert_eq!(found.feed(b"aaab"), (b"a".to_vec(), true));
        let mut none = keys("");
        assert_eq!(none.feed(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    #[test]
    fn nothing_is_lost_or_made_up() {
        let mut found = keys("a,b,a,c");
        let typed = b"abababacab";
        let (passed, done) = found.feed(typed);
        assert!(done);
        assert_eq!(passed, b"abab");
    }
}
