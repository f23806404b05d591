//! The redactor: secrets never reach a file.
//!
//! Three steps, in order: the values of known secrets in every form in which they travel, then patterns of keys that
//! nobody told us about, then (by the caller, on what was written) a [`scan`](Redactor::scan) that must find nothing.
//! A secret cut in two by the pieces of a stream is found by none of them until the pieces are joined.

mod form;
mod rule;

use crate::fault::{Fault, Faults};
use crate::limit;
use aho_corasick::{AhoCorasick, MatchKind};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// Replaces secrets with placeholders such as `[redacted:openai-key:1]`.
///
/// The number counts the different secrets of one kind within one text, in order of first appearance. So the same text
/// gives the same bytes on every machine and in every order, and what was redacted once is not changed again: a recorded
/// body and the body of a replay have the same key.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    values: Option<AhoCorasick>,
    /// The placeholder's word for each pattern of `values`, and which secret it is.
    owners: Vec<(String, usize)>,
}

/// A place in a text at which something still looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The pattern's word, as in a placeholder, or the name of a known secret in lower case.
    pub rule: String,
    /// Bytes before it.
    pub offset: usize,
}

/// Something to be replaced.
struct Finding<'a> {
    range: Range<usize>,
    rule: &'a str,
    /// Equal for two forms of one secret.
    identity: Identity<'a>,
}

#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Known(usize),
    Matched(&'a [u8]),
}

impl Redactor {
    /// A redactor that knows some secrets by name and value, besides the patterns.
    ///
    /// An empty value is not a secret. Refused is a value shorter than [`limit::SECRET_BYTES`], which cannot be told from
    /// ordinary text.
    pub fn new(secrets: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let (mut forms, mut owners) = (Vec::new(), Vec::new());
        for (secret, (name, value)) in secrets.into_iter().filter(|(_, value)| !value.is_empty()).enumerate() {
            if value.len() < limit::SECRET_BYTES {
                faults.push(too_short(&name));
            }
            for form in form::all(&value) {
                forms.push(form);
                owners.push((word(&name), secret));
            }
        }
        let values = faults.take(matcher(&forms)).flatten();
        faults.into_result(Self { values, owners })
    }

    /// The text without secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Bytes without secrets; what is not UTF-8 is kept as it is.
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let without_values = replace(bytes, self.known(bytes));
        match replace(&without_values, rule::find(&without_values)) {
            Cow::Borrowed(_) => without_values,
            Cow::Owned(redacted) => Cow::Owned(redacted),
        }
    }

    /// Every place at which a known secret or a pattern is found; evidence and written files must have none.
    pub fn scan(&self, text: &str) -> Vec<Leak> {
        let found = self.known(text.as_bytes()).chain(rule::find(text.as_bytes()));
        let mut leaks: Vec<Leak> = found.map(|finding| Leak { rule: finding.rule.to_string(), offset: finding.range.start }).collect();
        leaks.sort_by(|a, b| (a.offset, &a.rule).cmp(&(b.offset, &b.rule)));
        leaks
    }

    fn known<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Finding<'a>> {
        self.values.iter().flat_map(move |values| values.find_iter(bytes)).filter_map(|found| {
            let (word, secret) = self.owners.get(found.pattern().as_usize())?;
            Some(Finding { range: found.range(), rule: word, identity: Identity::Known(*secret) })
        })
    }
}

/// Whether a header of an exchange is kept; every other one is dropped before anything else is done to it.
///
/// Kept is what says how a body is to be read (`content-type`, `content-encoding`, `accept`), who retries and when
/// (`x-stainless-retry-count`, `retry-after`, `retry-after-ms`, `x-should-retry`, `idempotency-key`), which trace a request
/// belongs to (`traceparent`), which client and which version of an interface speak (`user-agent`, `anthropic-version`,
/// `anthropic-beta`, `openai-beta`, `openai-version`), and how long the provider says it took (`openai-processing-ms`).
/// Not kept, besides keys and cookies: organisation, project, account and request ids (`x-request-id`, `request-id`), and
/// rate limits, which tell the account. A provider's request id answers no question that a case asks.
pub fn keep_header(name: &str) -> bool {
    const KEPT: &[&str] = &[
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-encoding",
        "content-type",
        "idempotency-key",
        "openai-beta",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "traceparent",
        "transfer-encoding",
        "user-agent",
        "x-should-retry",
        "x-stainless-retry-count",
    ];
    KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
}

fn too_short(name: &str) -> Fault {
    Fault::new(format!("the value of `{name}` has fewer than {} bytes and cannot be told from ordinary text", limit::SECRET_BYTES))
        .help(format!("give `{name}` a longer value, or unset it, before anything is recorded"))
}

fn matcher(forms: &[String]) -> Result<Option<AhoCorasick>, Fault> {
    if forms.is_empty() {
        return Ok(None);
    }
    let matcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
    matcher.map(Some).map_err(|error| Fault::new(format!("the known secrets are too many or too long to look for: {error}")))
}

/// `OPENAI_API_KEY` as a placeholder writes it: `openai-api-key`.
fn word(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }).collect()
}

fn replace<'a, 'f>(bytes: &'a [u8], findings: impl Iterator<Item = Finding<'f>>) -> Cow<'a, [u8]> {
    let (mut numbers, mut counts) = (HashMap::new(), HashMap::new());
    let (mut redacted, mut kept) = (Vec::new(), 0);
    for finding in findings {
        let number = *numbers.entry((finding.rule, finding.identity)).or_insert_with(|| {
            let count = counts.entry(finding.rule).or_insert(0_usize);
            *count += 1;
            *count
        });
        redacted.extend_from_slice(bytes.get(kept..finding.range.start).unwrap_or_default());
        redacted.extend_from_slice(format!("[redacted:{}:{number}]", finding.rule).as_bytes());
        kept = finding.range.end;
    }
    if kept == 0 {
        return Cow::Borrowed(bytes);
    }
    redacted.extend_from_slice(bytes.get(kept..).unwrap_or_default());
    Cow::Owned(redacted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    /// Written in two pieces, so that no scanner takes this file for a leak.
    fn openai_key() -> String {
        ["sk-proj", "-Ab3dEf6hIj9lMn2pQr5tUv8xYz1"].concat()
    }

    fn knowing(name: &str, value: &str) -> Redactor {
        Redactor::new([(name.to_string(), value.to_string())]).expect("long enough")
    }

    #[test]
    fn a_known_value_is_gone_in_every_form_in_which_it_travels() {
        let value = "p\"ss/w+rd \\é9<&";
        let redactor = knowing("APP_KEY", value);
        let json = serde_json::to_string(value).expect("serializes");
        let forms = [
            value.to_string(),
            json.clone(),
            serde_json::to_string(&json).expect("serializes"),
            json.replace('é', "\\u00e9").replace('/', "\\/"),
            "p%22ss%2Fw%2Brd%20%5C%C3%A99%3C%26".to_string(),
            "p%22ss%2fw%2brd+%5c%c3%a99%3c%26".to_string(),
            STANDARD.encode(value),
            URL_SAFE_NO_PAD.encode(value),
            "p&quot;ss/w+rd \\é9&lt;&amp;".to_string(),
        ];
        for form in forms {
            let redacted = redactor.redact(&format!("before {form} after")).into_owned();
            assert!(redacted.contains("[redacted:app-key:1]") && !redacted.contains("ss"), "{form}: {redacted}");
            assert!(redactor.scan(&redacted).is_empty());
        }
    }

    #[test]
    fn a_known_value_is_found_at_any_offset_in_base64() {
        let value = "correct-horse-9";
        let redactor = knowing("APP_KEY", value);
        for before in ["", "u", "us", "user:", "longer user:"] {
            let encoded = STANDARD.encode(format!("{before}{value}!"));
            let redacted = redactor.redact(&encoded);
            assert!(redacted.contains("[redacted:app-key:1]"), "{encoded}: {redacted}");
        }
    }

    #[test]
    fn two_forms_of_one_secret_have_one_number() {
        let redacted = knowing("APP_KEY", "a/b+c/d").redact("a/b+c/d and a%2Fb%2Bc%2Fd").into_owned();
        assert_eq!(redacted, "[redacted:app-key:1] and [redacted:app-key:1]");
    }

    #[test]
    fn numbers_follow_first_appearance() {
        let (first, second) = (openai_key(), openai_key().replace('b', "c"));
        let redacted = Redactor::default().redact(&format!("{second} {first} {second}")).into_owned();
        assert_eq!(redacted, "[redacted:openai-key:1] [redacted:openai-key:2] [redacted:openai-key:1]");
    }

    #[test]
    fn a_short_value_is_refused_by_name_and_never_shown() {
        let faults = Redactor::new([("PIN".to_string(), "12345".to_string())]).expect_err("five bytes");
        let fault = faults.iter().next().expect("one fault").clone();
        assert!(fault.message.contains("`PIN`") && !format!("{fault:?}").contains("12345"), "{fault:?}");
        assert!(Redactor::new([("UNSET".to_string(), String::new())]).is_ok());
        assert!(Redactor::new([("PIN".to_string(), "123456".to_string())]).is_ok());
    }

    #[test]
    fn a_secret_with_regex_characters_quotes_and_a_newline_is_gone() {
        let value = "(a+)+$\n\"'[";
        assert_eq!(knowing("ODD", value).redact(&format!("<{value}>")), "<[redacted:odd:1]>");
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let bytes = [b"\xff\xfe ".as_slice(), openai_key().as_bytes(), b" \x80"].concat();
        assert_eq!(Redactor::default().redact_bytes(&bytes).as_ref(), b"\xff\xfe [redacted:openai-key:1] \x80");
    }

    #[test]
    fn a_leak_names_rule_and_place_but_not_the_value() {
        let leaks = Redactor::default().scan(&format!("é {}", openai_key()));
        assert_eq!(leaks, [Leak { rule: "openai-key".to_string(), offset: 3 }]);
    }

    #[test]
    fn json_stays_json() {
        let body = serde_json::json!({"key": openai_key(), "pem": "-----BEGIN PRIVATE KEY-----\nMIIabc+/=\n", "inner": r#"{"a":"b"}"#});
        let nested = serde_json::json!({"body": body.to_string()}).to_string();
        let redacted = Redactor::default().redact(&nested).into_owned();
        let value: serde_json::Value = serde_json::from_str(&redacted).expect("still JSON");
        let inner: serde_json::Value =
            serde_json::from_str(value["body"].as_str().expect("text")).unwrap_or_else(|error| panic!("{error}: {value}"));
        assert_eq!(inner["key"], "[redacted:openai-key:1]");
        assert_eq!(inner["pem"], "[redacted:private-key:1]");
    }

    #[test]
    fn headers_are_kept_by_name_only() {
        for name in ["Content-Type", "x-stainless-retry-count", "Retry-After", "traceparent", "user-agent"] {
            assert!(keep_header(name), "{name}");
        }
        for name in ["Authorization", "cookie", "set-cookie", "x-api-key", "api-key", "openai-organization", "x-request-id", "request-id"] {
            assert!(!keep_header(name), "{name}");
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just(openai_key()),
            Just("correct-horse-9".to_string()),
            Just("Bearer abcdefgh12345678abcdefgh".to_string()),
            Just("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----".to_string()),
            Just("[redacted:openai-key:7]".to_string()),
            Just("api_key=".to_string()),
            "[ \\\\\"'A-Za-z0-9:/+=_.-]{0,40}",
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn a_secret_right_behind_others_is_found_at_once() {
        let key = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1Ab3dEf6h";
        let text = format!("{key}{key}+-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----");
        let redactor = knowing("APP_KEY", "correct-horse-9");
        assert_eq!(redactor.scan(&redactor.redact(&text)), Vec::new());
    }

    proptest! {
        #[test]
        fn what_is_redacted_has_no_leak_and_does_not_change_again(text in pieces()) {
            let redactor = knowing("APP_KEY", "correct-horse-9");
            let once = redactor.redact(&text).into_owned();
            prop_assert_eq!(redactor.scan(&once), Vec::new());
            prop_assert_eq!(redactor.redact(&once), once.as_str());
        }

        #[test]
        fn any_known_value_is_gone(value in "\\PC{6,24}", before in "[a-z ]{0,9}", after in "[a-z ]{0,9}") {
            let redacted = knowing("APP_KEY", &value).redact(&format!("{before}{value}{after}")).into_owned();
            prop_assert!(redacted.contains("[redacted:"), "{}", redacted);
        }
    }
}
