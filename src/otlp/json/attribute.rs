//! Attributes and their values in JSON.

use super::element::{Element, Leaf, Members, Name, many, names, one, skip_list, skip_object};
use crate::limit;
use crate::otlp::context::Context;
use crate::otlp::diagnostic::Habit;
use crate::otlp::scalar::Scalar;
use crate::otlp::value::{AnyValue, Attributes};
use serde::de::{MapAccess, SeqAccess};

names!(AttributeName { Key = "key", Value = "value" });

/// `{"key": …, "value": …}`.
pub(super) struct Attribute;

impl<'de> Element<'de> for Attribute {
    type Output = (String, AnyValue);
    const EXPECTED: &'static str = "an attribute";
    const USUAL: usize = 8;

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Self::Output>, M::Error> {
        let (mut members, mark) = (Members::default(), context.ledger.mark());
        // A key without a value is what exporters make of null.
        let (mut key, mut value) = (None, Some(AnyValue::Null));
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                AttributeName::Key => key = context.text("key", map.next_value_seed(Leaf)?),
                AttributeName::Value => value = map.next_value_seed(one::<Value>(context))?,
            }
        }
        Ok(context.attribute(key, value, mark))
    }
}

names!(ValueName {
    Text = "stringValue" | "string_value",
    Int = "intValue" | "int_value",
    Bool = "boolValue" | "bool_value",
    Double = "doubleValue" | "double_value",
    List = "arrayValue" | "array_value",
    Map = "kvlistValue" | "kvlist_value",
    Bytes = "bytesValue" | "bytes_value",
    Wrapped = "value",
});

/// `{"stringValue": …}` and its like. Nothing comes out of a value that cannot be read.
pub(super) struct Value;

impl<'de> Element<'de> for Value {
    type Output = AnyValue;
    const EXPECTED: &'static str = "a value such as {\"stringValue\": …}";

    fn object<M: MapAccess<'de>>(context: &mut Context, map: M) -> Result<Option<Self::Output>, M::Error> {
        if context.depth >= limit::ATTRIBUTE_DEPTH {
            context.too_deep = true;
            skip_object(map)?;
            return Ok(None);
        }
        context.depth += 1;
        let value = members_of_value(context, map);
        context.depth -= 1;
        value
    }

    fn scalar(context: &mut Context, scalar: Scalar<'de>) -> Option<Self::Output> {
        if !matches!(scalar, Scalar::Null | Scalar::List | Scalar::Object) {
            context.habit(Habit::BareValues, format_args!("values are bare ({scalar}); OTLP/JSON has {{\"stringValue\": …}}"));
        }
        Some(match scalar {
            Scalar::Null => AnyValue::Null,
            Scalar::Bool(truth) => AnyValue::Bool(truth),
            Scalar::Integer(_) => context.take("value", scalar.integer()).unwrap_or_default(),
            Scalar::Float(number) => AnyValue::Double(number),
            Scalar::Text(text) => AnyValue::Text(context.cut(text.into_owned())),
            Scalar::List | Scalar::Object => {
                context.warn(format_args!("expected {}, found {scalar}", Self::EXPECTED));
                return None;
            }
        })
    }
}

fn members_of_value<'de, M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<AnyValue>, M::Error> {
    let (mut members, mark) = (Members::default(), context.ledger.mark());
    let mut value = Some(AnyValue::Null);
    let mut kinds = 0;
    while let Some(name) = members.next(context, &mut map)? {
        let found = value_of_kind(context, &mut map, name)?;
        // A kind that is null is one that is not set.
        if found != Some(AnyValue::Null) {
            kinds += 1;
            value = found;
        }
    }
    if kinds > 1 && context.ledger.mark().is(mark) {
        context.warn(format_args!("the value is of {kinds} kinds at once; the last one counts"));
    }
    Ok(value)
}

/// The value of one kind: `Null` when it is not set, nothing when it cannot be read.
fn value_of_kind<'de, M: MapAccess<'de>>(context: &mut Context, map: &mut M, kind: ValueName) -> Result<Option<AnyValue>, M::Error> {
    let taken = match kind {
        ValueName::List => return Ok(map.next_value_seed(one::<List>(context))?.map(AnyValue::List)),
        ValueName::Map => return Ok(map.next_value_seed(one::<Map>(context))?.map(AnyValue::Map)),
        ValueName::Bytes => return map.next_value_seed(one::<Bytes>(context)),
        ValueName::Wrapped => {
            context.habit(Habit::WrappedValues, format_args!("members of lists are wrapped as {{\"value\": …}}, as old Rust SDKs do"));
            return map.next_value_seed(one::<Value>(context));
        }
        ValueName::Text | ValueName::Int | ValueName::Bool | ValueName::Double => map.next_value_seed(Leaf)?,
    };
    if taken == Scalar::Null {
        return Ok(Some(AnyValue::Null));
    }
    Ok(match kind {
        ValueName::Int => context.take(kind.text(), taken.integer()),
        ValueName::Bool => context.take(kind.text(), taken.truth()).map(AnyValue::Bool),
        ValueName::Double => context.take(kind.text(), taken.double()).map(AnyValue::Double),
        _ => context.text(kind.text(), taken).map(|text| AnyValue::Text(context.cut(text))),
    })
}

names!(ValuesName { Values = "values" });

/// `{"values": […]}` of values, or the bare list.
struct List;

impl<'de> Element<'de> for List {
    type Output = Vec<AnyValue>;
    const EXPECTED: &'static str = "{\"values\": […]}";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Self::Output>, M::Error> {
        let (mut members, mut values) = (Members::default(), Vec::new());
        while let Some(ValuesName::Values) = members.next(context, &mut map)? {
            values = map.next_value_seed(one::<ListMembers>(context))?.unwrap_or_default();
        }
        Ok(Some(values))
    }

    fn list<S: SeqAccess<'de>>(context: &mut Context, list: S) -> Result<Option<Self::Output>, S::Error> {
        ListMembers::list(context, list)
    }
}

/// A bare list of values; a member that cannot be read stays as null, so that the others keep their places.
struct ListMembers;

impl<'de> Element<'de> for ListMembers {
    type Output = Vec<AnyValue>;
    const EXPECTED: &'static str = "a list of values";

    fn object<M: MapAccess<'de>>(context: &mut Context, map: M) -> Result<Option<Self::Output>, M::Error> {
        skip_object(map)?;
        Ok(Self::scalar(context, Scalar::Object))
    }

    fn list<S: SeqAccess<'de>>(context: &mut Context, mut list: S) -> Result<Option<Self::Output>, S::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(one::<Value>(context))? {
            if context.admit() {
                values.push(value.unwrap_or_default());
            }
        }
        Ok(Some(values))
    }
}

/// `{"values": […]}` of attributes, or the bare list.
struct Map;

impl<'de> Element<'de> for Map {
    type Output = Attributes;
    const EXPECTED: &'static str = "{\"values\": […]}";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Self::Output>, M::Error> {
        let (mut members, mut values) = (Members::default(), Vec::new());
        while let Some(ValuesName::Values) = members.next(context, &mut map)? {
            values = map.next_value_seed(many::<Attribute>(context))?;
        }
        Ok(Some(values))
    }

    fn list<S: SeqAccess<'de>>(context: &mut Context, mut list: S) -> Result<Option<Self::Output>, S::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(one::<Attribute>(context))? {
            values.extend(value);
        }
        Ok(Some(values))
    }
}

/// Base64, or the list of numbers that some serialisers make of bytes.
struct Bytes;

impl<'de> Element<'de> for Bytes {
    type Output = AnyValue;
    const EXPECTED: &'static str = "base64";

    fn object<M: MapAccess<'de>>(context: &mut Context, map: M) -> Result<Option<Self::Output>, M::Error> {
        skip_object(map)?;
        Ok(Self::scalar(context, Scalar::Object))
    }

    fn list<S: SeqAccess<'de>>(context: &mut Context, mut list: S) -> Result<Option<Self::Output>, S::Error> {
        let mut bytes = Vec::new();
        while let Some(scalar) = list.next_element_seed(Leaf)? {
            let Some(byte) = context.take(ValueName::Bytes.text(), scalar.unsigned("a byte")) else {
                skip_list(list)?;
                return Ok(None);
            };
            bytes.push(byte);
        }
        Ok(Some(AnyValue::Bytes(context.cut_bytes(bytes))))
    }

    fn scalar(context: &mut Context, scalar: Scalar<'de>) -> Option<Self::Output> {
        if scalar == Scalar::Null {
            return Some(AnyValue::Null);
        }
        let bytes = context.take(ValueName::Bytes.text(), scalar.bytes())?;
        Some(AnyValue::Bytes(context.cut_bytes(bytes)))
    }
}
