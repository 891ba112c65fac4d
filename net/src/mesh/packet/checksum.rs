//! The Internet checksum (RFC 1071), over words in the host's byte order: folded sums are stored as they are.

/// Adds bytes to a sum. Only the last piece of several may be of odd length.
pub fn sum(bytes: &[u8], start: u64) -> u64 {
    let mut total = start;
    let mut add = |word: u64| {
        let (sum, carry) = total.overflowing_add(word);
        total = sum + u64::from(carry);
    };
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_ne_bytes(*word)));
    let (pairs, last) = rest.as_chunks::<2>();
    pairs.iter().for_each(|pair| add(u64::from(u16::from_ne_bytes(*pair))));
    if let [byte] = last {
        add(u64::from(u16::from_ne_bytes([*byte, 0])));
    }
    total
}

/// Folds a sum to sixteen bits, not complemented.
pub fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// What a transport's checksum covers besides its own bytes: both addresses, protocol and length.
pub fn pseudo_header(addresses: &[u8], protocol: u8, length: usize) -> u64 {
    let length = (length as u32).to_be_bytes();
    sum(addresses, sum(&[0, protocol, length[0], length[1], length[2], length[3]], 0))
}

/// The checksum to store for a sum; UDP has no zero, which means none.
pub fn finish(sum: u64, is_udp: bool) -> [u8; 2] {
    match !fold(sum) {
        0 if is_udp => [0xff; 2],
        checksum => checksum.to_ne_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the RFC says it, word by word.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    proptest! {
        #[test]
        fn it_is_the_sum_of_the_rfc(first in proptest::collection::vec(any::<u8>(), 0..200), second: Vec<u8>) {
            let first = &first[..first.len() / 2 * 2];
            let whole = [first, &second].concat();
            let stored = finish(sum(&second, sum(first, 0)), false);
            prop_assert_eq!(u16::from_be_bytes(stored), reference(&whole));
        }
    }
}
