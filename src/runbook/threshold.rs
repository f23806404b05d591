//! A threshold: from which value on a signal is worth a look.

use crate::diagnosis::Level;
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

    /// Whether it is reached before another one of the same kind; `worse` says in which direction.
    fn is_nearer(self, other: Self, worse: Worse) -> bool {
        let (one, other) = match (self, other) {
            (Self::Times(one), Self::Times(other)) | (Self::Above(one), Self::Above(other)) | (Self::Value(one), Self::Value(other)) => {
                (one, other)
            }
            _ => return false,
        };
        if worse == Worse::Down { one > other } else { one < other }
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

fn worse(signal: &str) -> Worse {
    signal::definition(signal).map_or(Worse::Down, |definition| definition.worse)
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
        let page = map.get("page").and_then(|node| {
            let page = Threshold::read(node, kind, faults)?;
            let is_nearer = warn.is_some_and(|warn| page.is_nearer(warn, worse(signal)));
            if is_nearer {
                faults.push(node.fault("`page` is nearer than `warn`, which would never be told").help("let `page` be further out"));
            }
            Some(page)
        });
        Some(Self { signal: signal.to_string(), warn: warn?, page })
    }

    /// The furthest threshold that the signal is past; none also when it is unknown. Times below a tenth of a second are
    /// noise.
    pub fn level(&self, base: &Datum, now: &Datum) -> Option<Level> {
        let definition = signal::definition(&self.signal);
        if definition.is_some_and(|definition| definition.unit == "s") && now.number()? < NOISE {
            return None;
        }
        let worse = worse(&self.signal);
        let is_past = |threshold: Threshold| threshold.is_past(base, now, worse) == Some(true);
        match self.page.filter(|page| is_past(*page)) {
            Some(_) => Some(Level::Page),
            None => is_past(self.warn).then_some(Level::Warn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_milliseconds_is_noise() {
        let watch = Watch { signal: "latency.first_token".into(), warn: Threshold::Times(1.5), page: None };
        assert_eq!(watch.level(&0.005.into(), &0.02.into()), None);
        assert_eq!(watch.level(&0.5.into(), &2.0.into()), Some(Level::Warn));
    }

    #[test]
    fn the_furthest_threshold_is_told() {
        let watch = Watch { signal: "latency.total".into(), warn: Threshold::Times(1.3), page: Some(Threshold::Times(2.0)) };
        let level = |now: f64| watch.level(&1.0.into(), &now.into());
        assert_eq!((level(1.2), level(1.5), level(2.0)), (None, Some(Level::Warn), Some(Level::Page)));
        assert_eq!(watch.level(&1.0.into(), &Datum::Unknown), None);
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
