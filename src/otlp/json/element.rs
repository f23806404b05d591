//! An element: a part of a document, decoded from whatever JSON value stands in its place.

use crate::otlp::context::Context;
use crate::otlp::diagnostic::Habit;
use crate::otlp::scalar::Scalar;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A part of a document. Only broken JSON is an error; a value of another kind is reported and costs this element.
pub(super) trait Element<'de> {
    type Output;
    /// What should stand there, as in "expected a span".
    const EXPECTED: &'static str;
    /// How many of them a list holds as a rule.
    const USUAL: usize = 0;

    fn object<M: MapAccess<'de>>(context: &mut Context, map: M) -> Result<Option<Self::Output>, M::Error>;

    fn list<S: SeqAccess<'de>>(context: &mut Context, list: S) -> Result<Option<Self::Output>, S::Error> {
        skip_list(list)?;
        Ok(Self::scalar(context, Scalar::List))
    }

    fn scalar(context: &mut Context, scalar: Scalar<'de>) -> Option<Self::Output> {
        if scalar != Scalar::Null {
            context.warn(format_args!("expected {}, found {scalar}", Self::EXPECTED));
        }
        None
    }
}

/// Skips the rest of a list without recursion.
pub(super) fn skip_list<'de, S: SeqAccess<'de>>(mut list: S) -> Result<(), S::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Skips the rest of an object without recursion.
pub(super) fn skip_object<'de, M: MapAccess<'de>>(mut map: M) -> Result<(), M::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// The seed of one element.
pub(super) struct One<'c, E> {
    context: &'c mut Context,
    element: PhantomData<E>,
}

/// The seed of a list of elements; null is an empty one.
pub(super) struct Many<'c, E> {
    context: &'c mut Context,
    element: PhantomData<E>,
}

pub(super) fn one<E>(context: &mut Context) -> One<'_, E> {
    One { context, element: PhantomData }
}

pub(super) fn many<E>(context: &mut Context) -> Many<'_, E> {
    Many { context, element: PhantomData }
}

/// The methods of a visitor that takes any scalar and hands it to `$scalar`.
macro_rules! scalars {
    ($lifetime:lifetime) => {
        fn visit_unit<X>(self) -> Result<Self::Value, X> {
            self.take(Scalar::Null)
        }
        fn visit_bool<X>(self, truth: bool) -> Result<Self::Value, X> {
            self.take(Scalar::Bool(truth))
        }
        fn visit_i64<X>(self, number: i64) -> Result<Self::Value, X> {
            self.take(Scalar::Integer(i128::from(number)))
        }
        fn visit_u64<X>(self, number: u64) -> Result<Self::Value, X> {
            self.take(Scalar::Integer(i128::from(number)))
        }
        fn visit_f64<X>(self, number: f64) -> Result<Self::Value, X> {
            self.take(Scalar::Float(number))
        }
        fn visit_str<X>(self, text: &str) -> Result<Self::Value, X> {
            self.take(Scalar::Text(Cow::Owned(text.to_owned())))
        }
        fn visit_borrowed_str<X>(self, text: &$lifetime str) -> Result<Self::Value, X> {
            self.take(Scalar::Text(Cow::Borrowed(text)))
        }
    };
}

impl<'de, E: Element<'de>> DeserializeSeed<'de> for One<'_, E> {
    type Value = Option<E::Output>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: Element<'de>> One<'_, E> {
    #[expect(clippy::unnecessary_wraps, reason = "the visitor's methods all return results")]
    fn take<X>(self, scalar: Scalar<'de>) -> Result<Option<E::Output>, X> {
        Ok(E::scalar(self.context, scalar))
    }
}

impl<'de, E: Element<'de>> Visitor<'de> for One<'_, E> {
    type Value = Option<E::Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(E::EXPECTED)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        E::object(self.context, map)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, list: S) -> Result<Self::Value, S::Error> {
        E::list(self.context, list)
    }

    scalars!('de);
}

impl<'de, E: Element<'de>> DeserializeSeed<'de> for Many<'_, E> {
    type Value = Vec<E::Output>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: Element<'de>> Many<'_, E> {
    #[expect(clippy::unnecessary_wraps, reason = "the visitor's methods all return results")]
    fn take<X>(self, scalar: Scalar<'de>) -> Result<Vec<E::Output>, X> {
        if scalar != Scalar::Null {
            self.context.warn(format_args!("expected a list, found {scalar}"));
        }
        Ok(Vec::new())
    }
}

impl<'de, E: Element<'de>> Visitor<'de> for Many<'_, E> {
    type Value = Vec<E::Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element_seed(one::<E>(self.context))? {
            let Some(element) = element else { continue };
            if elements.is_empty() {
                elements.reserve(E::USUAL);
            }
            elements.push(element);
        }
        Ok(elements)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        skip_object(map)?;
        self.take(Scalar::Object)
    }

    scalars!('de);
}

/// The seed of a scalar; containers are skipped.
pub(super) struct Leaf;

impl Leaf {
    #[expect(clippy::unnecessary_wraps, reason = "the visitor's methods all return results")]
    fn take<X>(self, scalar: Scalar<'_>) -> Result<Scalar<'_>, X> {
        Ok(scalar)
    }
}

impl<'de> DeserializeSeed<'de> for Leaf {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaf {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        skip_object(map)?;
        Ok(Scalar::Object)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, list: S) -> Result<Self::Value, S::Error> {
        skip_list(list)?;
        Ok(Scalar::List)
    }

    scalars!('de);
}

/// The names of an object's members.
pub(super) trait Name: Copy {
    /// The member of that name, and whether it is spelt in another way than OTLP/JSON demands.
    fn of(name: &str) -> (Option<Self>, bool);
    /// The name that OTLP/JSON demands.
    fn text(self) -> &'static str;
    /// A bit of its own.
    fn bit(self) -> u32;
}

/// Declares the members of an object: `Variant = "camelCase" | "other_spelling"`.
macro_rules! names {
    ($(#[$meta:meta])* $enum:ident { $($variant:ident = $name:literal $(| $other:literal)*),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        enum $enum { $($variant),* }

        impl Name for $enum {
            fn of(name: &str) -> (Option<Self>, bool) {
                match name {
                    $($name => (Some(Self::$variant), false),)*
                    $($($other => (Some(Self::$variant), true),)*)*
                    _ => (None, false),
                }
            }

            fn text(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn bit(self) -> u32 {
                1 << self as u32
            }
        }
    };
}
pub(super) use names;

struct Key<N>(PhantomData<N>);

impl<'de, N: Name> DeserializeSeed<'de> for Key<N> {
    type Value = (Option<N>, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<N: Name> Visitor<'_> for Key<N> {
    type Value = (Option<N>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<X>(self, name: &str) -> Result<Self::Value, X> {
        Ok(N::of(name))
    }
}

/// The members of one object that have been seen.
#[derive(Debug, Default)]
pub(super) struct Members(u32);

impl Members {
    #[inline]
    /// The next member that is known, past those that are not.
    pub(super) fn next<'de, N: Name, M: MapAccess<'de>>(&mut self, context: &mut Context, map: &mut M) -> Result<Option<N>, M::Error> {
        while let Some((name, other)) = map.next_key_seed(Key::<N>(PhantomData))? {
            if let Some(name) = name {
                self.note(context, name, other);
                return Ok(Some(name));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    #[inline]
    /// Notes a member, and reports it if it is odd.
    pub(super) fn note<N: Name>(&mut self, context: &mut Context, name: N, other: bool) {
        if other {
            context.habit(Habit::SnakeCase, format_args!("keys are snake_case; OTLP/JSON has them in lowerCamelCase"));
        }
        if self.0 & name.bit() != 0 {
            context.warn_about(name.text(), format_args!("duplicate key; the last one counts"));
        }
        self.0 |= name.bit();
    }
}
