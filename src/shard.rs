//! A shard: one of several equal parts of a suite, for a CI matrix.

use crate::fault::Fault;
use crate::inert;
use std::fmt;
use std::str::FromStr;

/// The part `index` of `of`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Which part.
    pub index: u32,
    /// How many parts there are.
    pub of: u32,
}

impl Shard {
    /// Whether the case at a place in the sorted suite belongs to this part: neighbours go to different ones.
    pub fn holds(self, place: usize) -> bool {
        place % self.of as usize == self.index as usize - 1
    }
}

impl FromStr for Shard {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let read = || {
            let (index, of) = text.split_once('/')?;
            let shard = Self { index: index.parse().ok()?, of: of.parse().ok()? };
            (1..=shard.of).contains(&shard.index).then_some(shard)
        };
        read().ok_or_else(|| {
            Fault::new(format!("`{}` is no shard", inert::one_line(text))).help("write which part and of how many, as in `2/3`")
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_one_part() {
        for of in 1..7 {
            for place in 0..20 {
                assert_eq!((1..=of).filter(|index| Shard { index: *index, of }.holds(place)).count(), 1);
            }
        }
    }

    #[test]
    fn a_shard_is_read_as_it_is_written() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        assert_eq!(Shard { index: 2, of: 3 }.to_string(), "2/3");
        for text in ["", "0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/3/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
