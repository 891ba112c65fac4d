//! The word that was probably meant.

/// Which of `known` differs from `word` by at most two letters, the nearest first.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    if word.len() > 32 {
        return None;
    }
    let distances =
        known.iter().map(|known| (distance(word.as_bytes(), known.to_ascii_lowercase().as_bytes()), *known));
    let (distance, best) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < best.len()).then_some(best)
}

/// `word` with its neighbour, as an error ends.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    nearest(word, known).map(|best| format!(" (did you mean {best}?)")).unwrap_or_default()
}

fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
