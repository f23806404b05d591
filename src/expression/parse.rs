//! From minijinja's tree to ours: what is not allowed is refused where it stands.

use super::{Arithmetic, Comparison, ExpressionError, FieldCall, Frame, Function, Tree, Vocabulary};
use crate::change;
use crate::fault::{nearest, suggest};
use crate::field;
use crate::limit;
use crate::signal::{self, Datum, Kind};
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::{Span, parse_expr};

/// What kind of value a part of an expression has, as far as that can be seen before it is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Flag,
    Number,
    Word(Option<&'static [&'static str]>),
    List,
    Any,
}

struct Typed {
    tree: Tree,
    kind: Type,
    offset: usize,
}

struct Lowering<'a> {
    source: &'a str,
    vocabulary: Vocabulary,
}

pub(super) fn parse(source: &str, vocabulary: Vocabulary) -> Result<Tree, ExpressionError> {
    if source.trim().is_empty() {
        return Err(ExpressionError { offset: 0, message: "an empty expression".into(), help: None });
    }
    if source.len() > limit::EXPRESSION_BYTES {
        let message = format!("an expression of {} bytes; at most {} are read", source.len(), limit::EXPRESSION_BYTES);
        return Err(ExpressionError { offset: 0, message, help: Some("split it into several tests".into()) });
    }
    if nesting(source) > limit::EXPRESSION_NESTING {
        let message = format!("an expression with over {} of `not`, `-` and brackets", limit::EXPRESSION_NESTING);
        return Err(ExpressionError { offset: 0, message, help: Some("split it into several tests".into()) });
    }
    if source.contains(['\n', '\r']) {
        // minijinja counts columns by line; an expression is one line.
        return parse(&source.replace(['\r', '\n'], " "), vocabulary);
    }
    let parsed = parse_expr(source).map_err(|error| syntax(&error))?;
    let lowering = Lowering { source, vocabulary };
    let typed = lowering.lower(&parsed)?;
    match typed.kind {
        Type::Flag | Type::Any => Ok(typed.tree),
        _ => Err(lowering
            .error(0, format!("`{source}` is a value, neither true nor false"))
            .with("compare it, as in `tokens.input <= 1000`")),
    }
}

fn syntax(error: &minijinja::Error) -> ExpressionError {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    ExpressionError { offset: 0, message: format!("not an expression: {message}"), help: None }
}

impl ExpressionError {
    fn with(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Lowering<'_> {
    fn error(&self, offset: usize, message: String) -> ExpressionError {
        let characters = self.source.get(..offset).map_or(0, |before| before.chars().count());
        ExpressionError { offset: characters, message, help: None }
    }

    fn refused(&self, span: Span, what: &str) -> ExpressionError {
        self.error(span.start_offset as usize, format!("{what} is not allowed in an expression"))
            .with("allowed: comparisons, and, or, not, in, arithmetic, field('x'), present('x'), changed('x'), same('x'), min, max, abs")
    }

    fn lower(&self, expr: &Expr<'_>) -> Result<Typed, ExpressionError> {
        let span = expr.span();
        let offset = span.start_offset as usize;
        if let Some(name) = dotted(expr) {
            return self.name(&name, offset);
        }
        match expr {
            Expr::Const(constant) => self.constant(&constant.value, offset),
            Expr::List(list) => {
                let items = list.items.iter().map(|item| Ok(self.lower(item)?.tree)).collect::<Result<_, _>>()?;
                Ok(Typed { tree: Tree::List(items), kind: Type::List, offset })
            }
            Expr::UnaryOp(unary) => self.unary(&unary.op, &unary.expr, offset),
            Expr::BinOp(binary) => self.binary(binary.op, &binary.left, &binary.right),
            Expr::Compare(chain) => {
                let mut left = self.lower(&chain.expr)?;
                let mut whole: Option<Tree> = None;
                for part in &chain.ops {
                    let right = self.lower(&part.expr)?;
                    let compared = self.comparison(comparison(part.op), &left, &right)?;
                    whole = Some(match whole {
                        Some(before) => Tree::And(Box::new(before), Box::new(compared)),
                        None => compared,
                    });
                    left = right;
                }
                Ok(Typed { tree: whole.unwrap_or(left.tree), kind: Type::Flag, offset })
            }
            Expr::IfExpr(choice) => {
                let test = self.flag(&choice.test_expr)?;
                let yes = self.lower(&choice.true_expr)?;
                let no = choice.false_expr.as_ref().ok_or_else(|| self.refused(span, "`if` without `else`"))?;
                let kind = yes.kind;
                Ok(Typed { tree: Tree::Choice(Box::new(test), Box::new(yes.tree), Box::new(self.lower(no)?.tree)), kind, offset })
            }
            Expr::Call(call) => self.call(call, offset),
            Expr::Filter(filter) => Err(self.refused(span, &format!("the filter `{}`", filter.name))),
            Expr::Test(_) => Err(self.refused(span, "`is`")),
            Expr::Slice(_) => Err(self.refused(span, "a slice")),
            Expr::Map(_) => Err(self.refused(span, "a map")),
            Expr::Tuple(_) => Err(self.refused(span, "a tuple")),
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => Err(self.refused(span, "this name")),
        }
    }

    fn constant(&self, value: &minijinja::Value, offset: usize) -> Result<Typed, ExpressionError> {
        let json = serde_json::to_value(value).unwrap_or_default();
        let kind = match &json {
            serde_json::Value::Bool(_) => Type::Flag,
            serde_json::Value::Number(_) => Type::Number,
            serde_json::Value::String(_) => Type::Word(None),
            serde_json::Value::Array(_) => Type::List,
            _ => return Err(self.error(offset, "`none` is not a value; use present('x')".into())),
        };
        Ok(Typed { tree: Tree::Constant(Datum::from_json(&json)), kind, offset })
    }

    fn name(&self, name: &str, offset: usize) -> Result<Typed, ExpressionError> {
        let framed = name.split_once('.').and_then(|(prefix, rest)| {
            let frame = Frame::ALL.iter().find(|(word, _)| *word == prefix)?.1;
            self.vocabulary.frames().contains(&frame).then_some((frame, rest))
        });
        let (frame, plain) = framed.unwrap_or((Frame::Now, name));
        if frame == Frame::Change {
            return self.change(plain, name, offset);
        }
        if !signal::is_signal(plain) {
            let known = signal::ALL.iter().map(|definition| definition.name);
            let others =
                Frame::ALL.iter().map(|(word, _)| *word).filter(|word| !self.vocabulary.prefixes().any(|allowed| allowed == *word));
            if let Some(frame) = others.clone().find(|word| plain.starts_with(&format!("{word}."))) {
                return Err(self.error(offset, format!("`{frame}.` has no meaning here")));
            }
            return Err(self.error(offset, format!("unknown name `{name}`")).with(suggest(plain, known)));
        }
        let kind = match signal::definition(plain).map(|definition| definition.kind) {
            Some(Kind::Flag) => Type::Flag,
            Some(Kind::OneOf(words)) => Type::Word(Some(words)),
            Some(Kind::Number) | None => Type::Number,
        };
        Ok(Typed { tree: Tree::Signal(frame, plain.to_string(), name.to_string()), kind, offset })
    }

    /// A measure of the comparison, or the difference of a numeric signal.
    fn change(&self, plain: &str, name: &str, offset: usize) -> Result<Typed, ExpressionError> {
        let is_number = |definition: &signal::Definition| definition.kind == Kind::Number;
        let kind = match change::definition(plain).or_else(|| signal::definition(plain).filter(|signal| is_number(signal))) {
            Some(definition) if definition.kind == Kind::Flag => Type::Flag,
            Some(_) => Type::Number,
            None if signal::definition(plain).is_none() && signal::is_signal(plain) => Type::Number,
            None => {
                let known = change::ALL.iter().chain(signal::ALL.iter().filter(|signal| is_number(signal))).map(|known| known.name);
                let near = nearest(plain, known.clone()).map(|near| format!("did you mean `change.{near}`?"));
                return Err(self.error(offset, format!("unknown name `{name}`")).with(near.unwrap_or_else(|| suggest(plain, known))));
            }
        };
        Ok(Typed { tree: Tree::Signal(Frame::Change, plain.to_string(), name.to_string()), kind, offset })
    }

    fn flag(&self, expr: &Expr<'_>) -> Result<Tree, ExpressionError> {
        self.as_flag(self.lower(expr)?)
    }

    fn as_flag(&self, typed: Typed) -> Result<Tree, ExpressionError> {
        match typed.kind {
            Type::Flag | Type::Any => Ok(typed.tree),
            _ => Err(self.error(typed.offset, "this is neither true nor false".into()).with("compare it with something")),
        }
    }

    fn number(&self, expr: &Expr<'_>) -> Result<Tree, ExpressionError> {
        let typed = self.lower(expr)?;
        match typed.kind {
            Type::Number | Type::Any => Ok(typed.tree),
            _ => Err(self.error(typed.offset, "this is not a number".into())),
        }
    }

    fn unary(&self, operator: &UnaryOpKind, inner: &Expr<'_>, offset: usize) -> Result<Typed, ExpressionError> {
        Ok(match operator {
            UnaryOpKind::Not => match self.lower(inner)? {
                // `x not in y` reaches us as `not (x in y)`.
                Typed { tree: Tree::Comparison(Comparison::In, item, list), .. } => {
                    Typed { tree: Tree::Comparison(Comparison::NotIn, item, list), kind: Type::Flag, offset }
                }
                typed => Typed { tree: Tree::Not(Box::new(self.as_flag(typed)?)), kind: Type::Flag, offset },
            },
            UnaryOpKind::Neg => Typed { tree: Tree::Negative(Box::new(self.number(inner)?)), kind: Type::Number, offset },
        })
    }

    fn binary(&self, operator: BinOpKind, left: &Expr<'_>, right: &Expr<'_>) -> Result<Typed, ExpressionError> {
        let offset = left.span().start_offset as usize;
        let both = |tree: fn(Box<Tree>, Box<Tree>) -> Tree| -> Result<Typed, ExpressionError> {
            Ok(Typed { tree: tree(Box::new(self.flag(left)?), Box::new(self.flag(right)?)), kind: Type::Flag, offset })
        };
        let arithmetic = |operator| -> Result<Typed, ExpressionError> {
            let tree = Tree::Arithmetic(operator, Box::new(self.number(left)?), Box::new(self.number(right)?));
            Ok(Typed { tree, kind: Type::Number, offset })
        };
        let compared = |operator| -> Result<Typed, ExpressionError> {
            let tree = self.comparison(operator, &self.lower(left)?, &self.lower(right)?)?;
            Ok(Typed { tree, kind: Type::Flag, offset })
        };
        match operator {
            BinOpKind::ScAnd => both(Tree::And),
            BinOpKind::ScOr => both(Tree::Or),
            BinOpKind::Add => arithmetic(Arithmetic::Add),
            BinOpKind::Sub => arithmetic(Arithmetic::Subtract),
            BinOpKind::Mul => arithmetic(Arithmetic::Multiply),
            BinOpKind::Div => arithmetic(Arithmetic::Divide),
            BinOpKind::FloorDiv => arithmetic(Arithmetic::FloorDivide),
            BinOpKind::Rem => arithmetic(Arithmetic::Remainder),
            BinOpKind::Pow => arithmetic(Arithmetic::Power),
            BinOpKind::Concat => Err(self.error(offset, "`~` is not allowed in an expression".into())),
            BinOpKind::Eq => compared(Comparison::Equal),
            BinOpKind::Ne => compared(Comparison::NotEqual),
            BinOpKind::Lt => compared(Comparison::Less),
            BinOpKind::Lte => compared(Comparison::LessOrEqual),
            BinOpKind::Gt => compared(Comparison::Greater),
            BinOpKind::Gte => compared(Comparison::GreaterOrEqual),
            BinOpKind::In => compared(Comparison::In),
        }
    }

    fn comparison(&self, operator: Comparison, left: &Typed, right: &Typed) -> Result<Tree, ExpressionError> {
        self.known_words(left, right)?;
        self.known_words(right, left)?;
        let tree = || Tree::Comparison(operator, Box::new(left.tree.clone()), Box::new(right.tree.clone()));
        match operator {
            Comparison::In | Comparison::NotIn => match right.kind {
                Type::List | Type::Any | Type::Word(None) => Ok(tree()),
                _ => Err(self.error(right.offset, "`in` needs a list".into())),
            },
            Comparison::Equal | Comparison::NotEqual if alike(left.kind, right.kind) => Ok(tree()),
            Comparison::Equal | Comparison::NotEqual => {
                Err(self.error(left.offset, format!("{} is compared with {}", describe(left.kind), describe(right.kind))))
            }
            _ => {
                let odd = [left, right].into_iter().find(|side| !matches!(side.kind, Type::Number | Type::Any));
                odd.map_or_else(|| Ok(tree()), |side| Err(self.error(side.offset, format!("{} has no order", describe(side.kind)))))
            }
        }
    }

    /// A word compared with a signal of a closed set must be of the set.
    fn known_words(&self, signal: &Typed, other: &Typed) -> Result<(), ExpressionError> {
        let Type::Word(Some(words)) = signal.kind else { return Ok(()) };
        let texts: Vec<&str> = match &other.tree {
            Tree::Constant(Datum::Text(text)) => vec![text],
            Tree::Constant(Datum::List(items)) => items.iter().filter_map(Datum::text).collect(),
            Tree::List(items) => {
                items.iter().filter_map(|item| if let Tree::Constant(datum) = item { datum.text() } else { None }).collect()
            }
            _ => Vec::new(),
        };
        match texts.into_iter().find(|text| !words.contains(text)) {
            None => Ok(()),
            Some(text) => {
                let near =
                    crate::fault::nearest(text, words.iter().copied()).map(|word| format!("did you mean '{word}'? ")).unwrap_or_default();
                let help = format!("{near}it is one of {}", words.join(", "));
                Err(self.error(other.offset, format!("'{text}' is never the value of this signal")).with(help))
            }
        }
    }

    fn call(&self, call: &minijinja::machinery::ast::Call<'_>, offset: usize) -> Result<Typed, ExpressionError> {
        let name = dotted(&call.expr).unwrap_or_default();
        let mut positional = Vec::new();
        for argument in &call.args {
            match argument {
                CallArg::Pos(expr) => positional.push(expr),
                _ => return Err(self.error(offset, format!("`{name}` takes plain arguments"))),
            }
        }
        if let Some(field) = field_call(&name) {
            return self.field(field, &positional, offset);
        }
        let function = match name.as_str() {
            "min" => Function::Min,
            "max" => Function::Max,
            "abs" => Function::Abs,
            _ => {
                let known = ["field", "present", "changed", "same", "min", "max", "abs"];
                return Err(self.error(offset, format!("unknown function `{name}`")).with(suggest(&name, known)));
            }
        };
        let fits = if function == Function::Abs { positional.len() == 1 } else { positional.len() >= 2 };
        if !fits {
            return Err(self.error(
                offset,
                format!("`{name}` takes {}", if function == Function::Abs { "one number" } else { "two or more numbers" }),
            ));
        }
        let items = positional.into_iter().map(|expr| self.number(expr)).collect::<Result<_, _>>()?;
        Ok(Typed { tree: Tree::Call(function, items), kind: Type::Number, offset })
    }

    fn field(&self, call: FieldCall, arguments: &[&Expr<'_>], offset: usize) -> Result<Typed, ExpressionError> {
        let [Expr::Const(constant)] = arguments else {
            return Err(self.error(offset, "a field is named by one text, as in present('prompt.version')".into()));
        };
        let name = constant.value.as_str().unwrap_or_default();
        if field::definition(name).is_none() {
            let known = field::ALL.iter().map(|definition| definition.name);
            return Err(self.error(offset, format!("unknown field `{name}`")).with(suggest(name, known)));
        }
        let kind = if call == FieldCall::Field { Type::Any } else { Type::Flag };
        Ok(Typed { tree: Tree::Field(call, name.to_string()), kind, offset })
    }
}

fn field_call(name: &str) -> Option<FieldCall> {
    Some(match name {
        "field" => FieldCall::Field,
        "present" => FieldCall::Present,
        "changed" => FieldCall::Changed,
        "same" => FieldCall::Same,
        _ => return None,
    })
}

fn comparison(operator: CompareOpKind) -> Comparison {
    match operator {
        CompareOpKind::Eq => Comparison::Equal,
        CompareOpKind::Ne => Comparison::NotEqual,
        CompareOpKind::Lt => Comparison::Less,
        CompareOpKind::Lte => Comparison::LessOrEqual,
        CompareOpKind::Gt => Comparison::Greater,
        CompareOpKind::Gte => Comparison::GreaterOrEqual,
        CompareOpKind::In => Comparison::In,
        CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn alike(left: Type, right: Type) -> bool {
    left == Type::Any || right == Type::Any || std::mem::discriminant(&left) == std::mem::discriminant(&right)
}

fn describe(kind: Type) -> &'static str {
    match kind {
        Type::Flag => "a yes or no",
        Type::Number => "a number",
        Type::Word(_) => "a word",
        Type::List => "a list",
        Type::Any => "a value",
    }
}

/// `a.b.c` and `a['b-c']` as one dotted name.
fn dotted(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Var(var) => Some(var.id.to_string()),
        Expr::GetAttr(attr) => Some(format!("{}.{}", dotted(&attr.expr)?, attr.name)),
        Expr::GetItem(item) => match &item.subscript_expr {
            Expr::Const(constant) => Some(format!("{}.{}", dotted(&item.expr)?, constant.value.as_str()?)),
            _ => None,
        },
        _ => None,
    }
}

/// How deep a text could be nested at most: the parser calls itself for every one of these.
fn nesting(source: &str) -> usize {
    source.matches("not").count() + source.matches(['-', '(', '[', '{']).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deeply_nested_expression_is_refused_before_it_is_parsed() {
        for (deep, told) in [("not ".repeat(100_000), "at most 2000"), ("not ".repeat(65), "over 64"), ("-".repeat(65), "over 64")] {
            let error = parse(&format!("{deep}retrieval.empty"), Vocabulary::Test).unwrap_err();
            assert!(error.message.contains(told), "{error}");
        }
        assert!(parse(&format!("{}retrieval.empty", "not ".repeat(64)), Vocabulary::Test).is_ok());
    }
}
