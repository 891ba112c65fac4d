//! New ids without randomness: a random start that somebody else drew, counted on.

/// Gives ids, each different from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdSource(u128);

impl IdSource {
    /// Counts on from these random bits.
    pub const fn new(random: u128) -> Self {
        Self(random)
    }

    /// Where it stands.
    pub const fn position(self) -> u128 {
        self.0
    }

    /// The next id's bits that nothing has yet: an entry that comes a second time must not overwrite what the first has made.
    pub fn draw_fresh(&mut self, is_taken: impl Fn(u128) -> bool) -> u128 {
        loop {
            let bits = self.draw();
            if !is_taken(bits) {
                return bits;
            }
        }
    }

    /// The next id's bits. Spread over all digits, so that the ids of one source do not look alike.
    pub fn draw(&mut self) -> u128 {
        self.0 = self.0.wrapping_add(1);
        // An odd factor makes this a bijection: different inputs give different ids.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}
