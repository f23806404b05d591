//! Evaluation with three truth values (Kleene's): unknown only where the known parts do not decide.

use super::{Arithmetic, Comparison, Environment, Evaluation, FieldCall, FieldValue, Frame, Function, Tree};
use crate::signal::Datum;

pub(super) fn datum(tree: &Tree, environment: &dyn Environment, evaluation: &mut Evaluation) -> Datum {
    match tree {
        Tree::Constant(datum) => datum.clone(),
        Tree::Signal(frame, name, written) => signal((*frame, name, written), environment, evaluation),
        Tree::Field(call, name) => field(*call, name, environment, evaluation),
        Tree::Not(inner) => truth(datum(inner, environment, evaluation).flag().map(|flag| !flag)),
        Tree::Negative(inner) => number(datum(inner, environment, evaluation).number().map(|number| -number)),
        // Both sides are evaluated, so that a failure shows every value.
        Tree::And(left, right) => {
            let (left, right) = (datum(left, environment, evaluation).flag(), datum(right, environment, evaluation).flag());
            truth(if left == Some(false) || right == Some(false) { Some(false) } else { left.zip(right).map(|_| true) })
        }
        Tree::Or(left, right) => {
            let (left, right) = (datum(left, environment, evaluation).flag(), datum(right, environment, evaluation).flag());
            truth(if left == Some(true) || right == Some(true) { Some(true) } else { left.zip(right).map(|_| false) })
        }
        Tree::Arithmetic(operator, left, right) => {
            let (left, right) = (datum(left, environment, evaluation).number(), datum(right, environment, evaluation).number());
            number(left.zip(right).and_then(|(left, right)| calculate(*operator, left, right)))
        }
        Tree::Comparison(operator, left, right) => {
            let (left, right) = (datum(left, environment, evaluation), datum(right, environment, evaluation));
            truth(compare(*operator, &left, &right))
        }
        Tree::Call(function, items) => {
            let numbers: Option<Vec<f64>> = items.iter().map(|item| datum(item, environment, evaluation).number()).collect();
            number(numbers.and_then(|numbers| call(*function, &numbers)))
        }
        Tree::List(items) => Datum::List(items.iter().map(|item| datum(item, environment, evaluation)).collect()),
        Tree::Choice(test, yes, no) => {
            let test = datum(test, environment, evaluation).flag();
            let (yes, no) = (datum(yes, environment, evaluation), datum(no, environment, evaluation));
            match test {
                Some(true) => yes,
                Some(false) => no,
                // Whatever the test would say, the answer is the same.
                None if yes == no => yes,
                None => Datum::Unknown,
            }
        }
    }
}

fn truth(flag: Option<bool>) -> Datum {
    flag.map_or(Datum::Unknown, Datum::Flag)
}

fn number(number: Option<f64>) -> Datum {
    number.filter(|number| number.is_finite()).map_or(Datum::Unknown, Datum::Number)
}

fn signal((frame, name, written): (Frame, &str, &str), environment: &dyn Environment, evaluation: &mut Evaluation) -> Datum {
    let datum = environment.signal(frame, name);
    if datum.is_unknown() {
        evaluation.unknown.insert(written.to_string());
    }
    evaluation.values.insert(written.to_string(), datum.clone());
    datum
}

fn field(call: FieldCall, name: &str, environment: &dyn Environment, evaluation: &mut Evaluation) -> Datum {
    let now = environment.field(name);
    let key = format!("field('{name}')");
    if matches!(now, FieldValue::Unknown) || (call == FieldCall::Field && now == FieldValue::Absent) {
        evaluation.unknown.insert(key.clone());
    }
    evaluation.values.insert(key, value(&now));
    match call {
        FieldCall::Field => value(&now),
        FieldCall::Present => truth(match now {
            FieldValue::Present(_) => Some(true),
            FieldValue::Absent => Some(false),
            FieldValue::Unknown => None,
        }),
        FieldCall::Changed => truth(same(&now, &environment.compared_field(name)).map(|same| !same)),
        FieldCall::Same => truth(same(&now, &environment.compared_field(name))),
    }
}

fn value(field: &FieldValue) -> Datum {
    match field {
        FieldValue::Present(value) => Datum::from_json(value),
        FieldValue::Absent | FieldValue::Unknown => Datum::Unknown,
    }
}

fn same(one: &FieldValue, other: &FieldValue) -> Option<bool> {
    match (one, other) {
        (FieldValue::Present(one), FieldValue::Present(other)) => Some(one == other),
        _ => None,
    }
}

fn calculate(operator: Arithmetic, left: f64, right: f64) -> Option<f64> {
    Some(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Remainder if right == 0.0 => return None,
        Arithmetic::Divide => left / right,
        Arithmetic::FloorDivide => (left / right).floor(),
        Arithmetic::Remainder => left.rem_euclid(right),
        Arithmetic::Power => left.powf(right),
    })
}

fn call(function: Function, numbers: &[f64]) -> Option<f64> {
    match function {
        Function::Min => numbers.iter().copied().min_by(f64::total_cmp),
        Function::Max => numbers.iter().copied().max_by(f64::total_cmp),
        Function::Abs => numbers.first().map(|number| number.abs()),
    }
}

fn compare(operator: Comparison, left: &Datum, right: &Datum) -> Option<bool> {
    match operator {
        Comparison::In => contains(right, left),
        Comparison::NotIn => contains(right, left).map(|found| !found),
        _ if left.is_unknown() || right.is_unknown() => None,
        Comparison::Equal => Some(left == right),
        Comparison::NotEqual => Some(left != right),
        _ => {
            let (left, right) = (left.number()?, right.number()?);
            Some(match operator {
                Comparison::Less => left < right,
                Comparison::LessOrEqual => left <= right,
                Comparison::Greater => left > right,
                _ => left >= right,
            })
        }
    }
}

fn contains(list: &Datum, item: &Datum) -> Option<bool> {
    match (list, item) {
        (_, Datum::Unknown) => None,
        (Datum::List(items), _) if items.contains(item) => Some(true),
        (Datum::List(items), _) if items.iter().any(Datum::is_unknown) => None,
        (Datum::List(_), _) => Some(false),
        (Datum::Text(text), Datum::Text(part)) => Some(text.contains(part.as_str())),
        _ => None,
    }
}
