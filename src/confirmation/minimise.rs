//! Delta debugging: the smallest set of changes that still has an effect (Zeller and Hildebrandt 2002, `ddmin`).

use std::collections::BTreeSet;

/// A subset of `0..count` that passes the test, and of which no single element can be left out; all of them if none is
/// smaller. The test is known to pass for all.
///
/// Once `test` gives none, nothing further is tried and the smallest set so far is the result.
pub(super) fn minimise(count: usize, mut test: impl FnMut(&BTreeSet<usize>) -> Option<bool>) -> BTreeSet<usize> {
    let mut current: Vec<usize> = (0..count).collect();
    let mut parts = 2;
    while current.len() > 1 {
        let chunks: Vec<BTreeSet<usize>> = split(&current, parts);
        let complements = chunks.iter().map(|chunk| current.iter().copied().filter(|item| !chunk.contains(item)).collect());
        // Of two parts each is the other's complement.
        let candidates = chunks.iter().cloned().chain(complements.filter(|_| parts > 2));
        let mut smaller = None;
        for (place, candidate) in candidates.enumerate() {
            match test(&candidate) {
                None => return current.into_iter().collect(),
                Some(false) => {}
                Some(true) => {
                    smaller = Some((candidate, place < chunks.len()));
                    break;
                }
            }
        }
        match smaller {
            Some((candidate, is_chunk)) => {
                current = candidate.into_iter().collect();
                parts = if is_chunk { 2 } else { (parts - 1).max(2) };
            }
            None if parts < current.len() => parts = (parts * 2).min(current.len()),
            None => break,
        }
    }
    current.into_iter().collect()
}

/// The items in so many runs, as even as can be.
fn split(items: &[usize], parts: usize) -> Vec<BTreeSet<usize>> {
    let (size, rest) = (items.len() / parts, items.len() % parts);
    let mut items = items.iter().copied();
    (0..parts)
        .map(|part| items.by_ref().take(size + usize::from(part < rest)).collect())
        .filter(|part: &BTreeSet<usize>| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_further_is_tried_once_the_test_gives_up() {
        let mut tries = 0;
        let found = minimise(8, |set| {
            tries += 1;
            (tries < 2).then(|| set.contains(&1))
        });
        assert_eq!((found, tries), ((0..4).collect(), 2));
    }

    proptest! {
        #[test]
        fn what_is_needed_is_found_and_nothing_else(count in 1usize..24, needed in proptest::collection::btree_set(0usize..24, 1..4)) {
            let needed: BTreeSet<usize> = needed.into_iter().map(|item| item % count).collect();
            let mut tries = 0;
            let found = minimise(count, |set| {
                tries += 1;
                Some(needed.is_subset(set))
            });
            prop_assert_eq!(found, needed);
            prop_assert!(tries <= count * count + 3 * count, "{} tries of {}", tries, count);
        }

        #[test]
        fn no_single_element_can_be_left_out(count in 1usize..12, bits in 0u32..4096) {
            // Whatever the test is like, what it passes for is 1-minimal.
            let passes = |set: &BTreeSet<usize>| set.len() == count || set.iter().map(|item| 1u32 << item).sum::<u32>() & bits > bits / 2;
            let found = minimise(count, |set| Some(passes(set)));
            prop_assert!(passes(&found));
            for item in &found {
                let without: BTreeSet<usize> = found.iter().copied().filter(|other| other != item).collect();
                prop_assert!(without.is_empty() || !passes(&without));
            }
        }
    }
}
