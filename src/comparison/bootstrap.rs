//! The bootstrap: bounds of a ratio that has no formula for them, from pairs drawn again and again.

use super::Estimate;

/// How often the pairs are drawn.
const DRAWS: usize = 2_000;
/// Pairs below which the slowest of them is all that is known of the slow ones.
const NEEDS: usize = 20;

/// The ratio of the 95th percentiles, candidate over base, with the 5th and 95th percentile of what the draws give; none
/// for fewer than 20 pairs. Pairs are (base, candidate), each from one incident, and drawn whole.
///
/// The same pairs give the same bounds: the draws begin at a fixed seed.
pub(super) fn tail_ratio(pairs: &[(f64, f64)]) -> Option<Estimate> {
    if pairs.len() < NEEDS {
        return None;
    }
    let mut seed = 0x5eed;
    let mut drawn = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        drawn.push(ratio((0..pairs.len()).map(|_| pairs[below(pairs.len(), &mut seed)])));
    }
    Some(Estimate {
        mean: ratio(pairs.iter().copied()),
        low: percentile(&mut drawn, 0.05),
        high: percentile(&mut drawn, 0.95),
        pairs: pairs.len(),
    })
}

fn ratio(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut base, mut candidate): (Vec<f64>, Vec<f64>) = pairs.unzip();
    percentile(&mut candidate, 0.95) / percentile(&mut base, 0.95)
}

/// The nearest-rank percentile: the smallest value that so large a share does not exceed.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    let rank = (values.len() as f64 * share).ceil() as usize;
    *values.select_nth_unstable_by(rank.saturating_sub(1), f64::total_cmp).1
}

/// The next number below `count`, by SplitMix64 (Steele, Lea and Flood, 2014).
fn below(count: usize, seed: &mut u64) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    ((u128::from(mixed) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let values = || (1..=20).map(f64::from).collect::<Vec<_>>();
        assert_eq!([0.05, 0.5, 0.95, 1.0].map(|share| percentile(&mut values(), share)), [1.0, 10.0, 19.0, 20.0]);
        assert_eq!(percentile(&mut [3.0], 0.05), 3.0);
    }

    #[test]
    fn numbers_are_spread_evenly_below_their_bound() {
        let mut seed = 1;
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[below(7, &mut seed)] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_tail_that_doubled_is_seen_and_an_equal_one_is_not() {
        let pairs = |factor: f64| (1..=60).map(|index| (f64::from(index), f64::from(index) * factor)).collect::<Vec<_>>();
        let doubled = tail_ratio(&pairs(2.0)).expect("enough pairs");
        assert_eq!((doubled.mean, doubled.low, doubled.high), (2.0, 2.0, 2.0));
        // Each case changes at random, so that only the bounds say that nothing is known.
        let shuffled: Vec<(f64, f64)> = (0..60).map(|index| (f64::from(index % 60 + 1), f64::from(index * 37 % 60 + 1))).collect();
        let same = tail_ratio(&shuffled).expect("enough pairs");
        assert!(same.mean == 1.0 && same.low < 1.0 && same.high > 1.0, "{same:?}");
        assert_eq!(tail_ratio(&shuffled), Some(same));
        assert_eq!(tail_ratio(&shuffled[..19]), None);
    }
}
