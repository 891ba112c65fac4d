//! Names for standalone containers that their user has not named: an adjective and a sailor. Pure.

const ADJECTIVES: [&str; 32] = [
    "agile", "amber", "brave", "bright", "calm", "clever", "cosmic", "crisp", "daring", "eager", "fond", "gentle",
    "golden", "happy", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry", "mighty", "nimble",
    "noble", "proud", "quick", "quiet", "sharp", "silent", "sunny", "witty",
];
const SAILORS: [&str; 32] = [
    "amundsen",
    "baffin",
    "baret",
    "bering",
    "blackburn",
    "bonny",
    "bougainville",
    "cabot",
    "cartier",
    "chichester",
    "cook",
    "cousteau",
    "drake",
    "earhart",
    "franklin",
    "frobisher",
    "gama",
    "henson",
    "hudson",
    "joshua",
    "laperouse",
    "magellan",
    "nansen",
    "noonan",
    "pytheas",
    "ross",
    "shackleton",
    "slocum",
    "tabei",
    "tasman",
    "vespucci",
    "zheng",
];

/// A name from random bits; `attempt` counts from 0 and, as in Docker, adds a number once names have clashed.
pub fn generate(bits: u64, attempt: u32) -> String {
    let pick = |list: [&'static str; 32], bits: u64| list[usize::try_from(bits % 32).unwrap_or(0)];
    let (adjective, sailor) = (pick(ADJECTIVES, bits), pick(SAILORS, bits >> 8));
    match attempt {
        0..3 => format!("{adjective}_{sailor}"),
        _ => format!("{adjective}_{sailor}{}", (bits >> 16) % 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_valid() {
        for bits in (0..32).flat_map(|low| (0..32).map(move |high| low | high << 8)) {
            for attempt in [0, 5] {
                model::check_object_name("container", &generate(bits, attempt)).unwrap();
            }
        }
    }
}
