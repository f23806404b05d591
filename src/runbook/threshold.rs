//! A threshold: from which value on a signal is worth a look.

use crate::fault::{Faults, suggest};
use crate::signal::{self, Datum, Kind, Worse};
use crate::yaml::{Node, quote};

/// Seconds below which a change of a time is noise.
const NOISE: f64 = 0.1;

/// A signal that the runbook watches.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// The signal.
    pub signal: String,
    /// From here on it is worth a look.
    pub warn: Threshold,
    /// From here on it is worth waking someone.
    pub page: Option<Threshold>,
}

/// A limit of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// Times the baseline, as in `1.3x`.
    Times(f64),
    /// Above the baseline by this much, as in `+0.02`.
    Above(f64),
    /// A value whatever the baseline is.
    Value(f64),
    /// A flag that holds now and did not.
    Flag,
}

impl Threshold {
    fn read(node: &Node, kind: Kind, faults: &mut Faults) -> Option<Self> {
        let written = node.as_text(faults)?;
        if kind == Kind::Flag {
            return (node.as_flag(faults)?).then_some(Self::Flag).or_else(|| {
                faults.push(node.fault("a flag's threshold is `true`"));
                None
            });
        }
        let parsed = match (written.strip_suffix('x'), written.strip_prefix('+')) {
            (Some(times), _) => times.parse().ok().map(Self::Times),
            (_, Some(above)) => above.parse().ok().map(Self::Above),
            _ => written.parse().ok().map(Self::Value),
        };
        let finite = parsed.filter(|threshold| match threshold {
            Self::Times(number) | Self::Above(number) | Self::Value(number) => number.is_finite(),
            Self::Flag => true,
        });
        if finite.is_none() {
            faults.push(node.unexpected("`1.3x` the baseline, `+0.02` above it, or a number"));
        }
        finite
    }

    /// Whether a signal is past it; `worse` says in which direction that is.
    pub fn is_past(self, base: &Datum, now: &Datum, worse: Worse) -> Option<bool> {
        if self == Self::Flag {
            return now.flag().map(|now| now && base.flag() != Some(true));
        }
        let now = now.number()?;
        let limit = match self {
            Self::Times(times) => times * base.number()?,
            Self::Above(above) => base.number()? + above,
            Self::Value(value) => value,
            Self::Flag => return None,
        };
        Some(if worse == Worse::Down { now <= limit } else { now >= limit && now > 0.0 })
    }
}

impl Watch {
    pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<Self> {
        let map = node.as_map(&["name", "warn", "page"], faults)?;
        let name = map.require("name", faults)?;
        let signal = name.as_text(faults)?;
        if !signal::is_signal(signal) {
            let known = signal::ALL.iter().map(|definition| definition.name);
            faults.push(name.fault(format!("unknown signal {}", quote(signal))).help(suggest(signal, known)));
            return None;
        }
        let kind = signal::definition(signal).map_or(Kind::Number, |definition| definition.kind);
        if matches!(kind, Kind::OneOf(_)) {
            faults.push(name.fault(format!("`{signal}` is a word and has no threshold")).help("use it in `enters` of a class"));
            return None;
        }
        let warn = map.require("warn", faults).and_then(|node| Threshold::read(node, kind, faults));
        let page = map.get("page").and_then(|node| Threshold::read(node, kind, faults));
        Some(Self { signal: signal.to_string(), warn: warn?, page })
    }

    /// Whether the signal is worth a look; none when it is unknown. Times below a tenth of a second are noise.
    pub fn warns(&self, base: &Datum, now: &Datum) -> Option<bool> {
        let definition = signal::definition(&self.signal);
        if definition.is_some_and(|definition| definition.unit == "s") && now.number()? < NOISE {
            return Some(false);
        }
        let worse = definition.map_or(Worse::Down, |definition| definition.worse);
        self.warn.is_past(base, now, worse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_milliseconds_is_noise() {
        let watch = Watch { signal: "latency.first_token".into(), warn: Threshold::Times(1.5), page: None };
        assert_eq!(watch.warns(&0.005.into(), &0.02.into()), Some(false));
        assert_eq!(watch.warns(&0.5.into(), &2.0.into()), Some(true));
    }

    #[test]
    fn thresholds_follow_the_direction_of_their_signal() {
        let past = |threshold: Threshold, base: f64, now: f64, worse| threshold.is_past(&base.into(), &now.into(), worse);
        assert_eq!(past(Threshold::Times(1.3), 1.0, 1.4, Worse::Up), Some(true));
        assert_eq!(past(Threshold::Times(0.5), 4.0, 1.0, Worse::Down), Some(true));
        assert_eq!(past(Threshold::Above(0.02), 0.1, 0.11, Worse::Up), Some(false));
        assert_eq!(past(Threshold::Value(1.5), 9.0, 1.5, Worse::Up), Some(true));
        assert_eq!(Threshold::Times(2.0).is_past(&Datum::Unknown, &1.0.into(), Worse::Up), None);
        assert_eq!(Threshold::Flag.is_past(&Datum::Flag(true), &Datum::Flag(true), Worse::Up), Some(false));
    }
}
