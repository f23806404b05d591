//! The rules that find a secret by its looks, for secrets that nobody told us about.

use super::{Finding, Identity};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::Regex;
use std::sync::LazyLock;

/// One kind of secret.
struct Rule {
    /// The word in placeholders.
    word: &'static str,
    /// The pattern, with the secret itself in its only group.
    pattern: &'static str,
    /// What a match must fulfil besides, given the secret.
    sure: fn(&[u8]) -> bool,
}

const fn rule(word: &'static str, pattern: &'static str, sure: fn(&[u8]) -> bool) -> Rule {
    Rule { word, pattern, sure }
}

/// Every rule; of two that match at one place the first wins.
///
/// The providers' own forms are those that gitleaks and the providers publish. Ids (`chatcmpl-…`, `req_…`, `msg_…`),
/// digests and images are none of them; names with hyphens (`sk-learn-…`) are kept apart by [`is_random`].
const RULES: &[Rule] = &[
    rule("anthropic-key", r"\b(sk-ant-[A-Za-z0-9_-]{16,})", always),
    rule("openrouter-key", r"\b(sk-or-[A-Za-z0-9_-]{16,})", always),
    rule("langfuse-key", r"\b(sk-lf-[A-Za-z0-9_-]{16,})", always),
    rule("openai-key", r"\b(sk-[A-Za-z0-9_-]{20,})", is_random),
    rule("google-key", r"\b(AIza[A-Za-z0-9_-]{35})", always),
    rule("google-token", r"\b(ya29\.[A-Za-z0-9_-]{20,})", always),
    rule("aws-key", r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})\b", always),
    rule("huggingface-key", r"\b(hf_[A-Za-z0-9]{30,})", always),
    rule("perplexity-key", r"\b(pplx-[A-Za-z0-9]{32,})", always),
    rule("groq-key", r"\b(gsk_[A-Za-z0-9]{32,})", always),
    rule("xai-key", r"\b(xai-[A-Za-z0-9]{40,})", always),
    rule("nvidia-key", r"\b(nvapi-[A-Za-z0-9_-]{40,})", always),
    rule("replicate-key", r"\b(r8_[A-Za-z0-9]{36,})", always),
    rule("tavily-key", r"\b(tvly-[A-Za-z0-9-]{20,})", is_random),
    rule("langsmith-key", r"\b(lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10})", always),
    rule("github-token", r"\b(gh[opusr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})", always),
    rule("gitlab-token", r"\b(glpat-[A-Za-z0-9_-]{20,})", always),
    rule("slack-token", r"\b(xox[abeoprs]-[A-Za-z0-9-]{10,})", always),
    rule("stripe-key", r"\b((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,})", always),
    rule("npm-token", r"\b(npm_[A-Za-z0-9]{36})\b", always),
    rule("jwt", r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)", always),
    rule(
        "private-key",
        r"(-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s:,.]|\\+[nrt]|-[A-Za-z0-9])*(?:-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----)?)",
        always,
    ),
    rule("bearer-token", r"\b(?i:bearer)\s+([A-Za-z0-9._~+/-]{16,}=*)", has_digit),
    rule("basic-pair", r"\b(?i:basic)\s+([A-Za-z0-9+/_-]{8,}={0,2})", is_pair),
    rule("url-password", r"://[^\s/:@\x22'<>\[\]{}]{1,100}:([^\s/@\x22'<>\[\]{}$]{3,200})@", always),
    rule(
        "named-secret",
        r"(?i:api[_-]?key|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|access[_-]?token|refresh[_-]?token|id[_-]?token|password|passwd)[\\\x22']{0,8}\s{0,4}[:=]\s{0,4}[\\\x22']{0,8}([A-Za-z0-9_./+~-]{16,}=*)",
        is_random_with_digit,
    ),
];

/// All rules as one pattern, so that a text is read once; each rule has one group.
static ALL: LazyLock<Regex> = LazyLock::new(|| {
    let branches: Vec<&str> = RULES.iter().map(|rule| rule.pattern).collect();
    Regex::new(&format!("(?-u){}", branches.join("|"))).expect("the patterns are constants that a test compiles")
});

/// What the rules find, from left to right and without overlaps.
pub(super) fn find(bytes: &[u8]) -> impl Iterator<Item = Finding<'_>> {
    let (mut at, mut kept_from) = (0, 0);
    std::iter::from_fn(move || {
        while let Some(place) = ALL.find_at(bytes, at) {
            let found = ALL.captures_at(bytes, place.start())?;
            let (rule, secret) = RULES.iter().enumerate().find_map(|(index, rule)| Some((rule, found.get(index + 1)?)))?;
            // What was found before will be a placeholder, so it is no part of a blob: else a second look would find more.
            let is_secret = (rule.sure)(secret.as_bytes()) && !is_inside_blob(&bytes[kept_from..], secret.start() - kept_from);
            // After a doubtful introduction as in `basic eyJ…` another rule may apply; what a prefix began is done with,
            // or `sk-sk-sk-…` would be read again from each of its prefixes.
            at = if is_secret || secret.start() == place.start() { secret.end() } else { secret.start() };
            if is_secret {
                kept_from = secret.end();
                return Some(Finding { range: secret.range(), rule: rule.word, identity: Identity::Matched(secret.as_bytes()) });
            }
        }
        None
    })
}

fn always(_: &[u8]) -> bool {
    true
}

fn has_digit(secret: &[u8]) -> bool {
    secret.iter().any(u8::is_ascii_digit)
}

/// Whether it is no word or name: a key has a digit or a capital letter.
fn is_random(secret: &[u8]) -> bool {
    secret.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Whether it is no word, path, version or number: a token has both digits and letters.
fn is_random_with_digit(secret: &[u8]) -> bool {
    has_digit(secret) && secret.iter().any(u8::is_ascii_alphabetic)
}

/// Whether it is the base64 of a printable `user:password`, and neither a word that follows "basic" nor a JWT.
fn is_pair(secret: &[u8]) -> bool {
    if secret.starts_with(b"eyJ") {
        return false;
    }
    let text: Vec<u8> = secret.iter().copied().filter(|byte| *byte != b'=').collect();
    let decoded = STANDARD_NO_PAD.decode(&text).or_else(|_| URL_SAFE_NO_PAD.decode(&text));
    decoded.is_ok_and(|pair| pair.contains(&b':') && pair.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80 || *byte == b' '))
}

/// Whether a place lies deep in base64 (an image, an embedding, encrypted reasoning), where every prefix occurs by chance.
fn is_inside_blob(bytes: &[u8], start: usize) -> bool {
    const LONG: usize = 64;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    bytes.get(..start).is_some_and(|before| before.iter().rev().take(LONG).filter(|byte| is_base64(byte)).count() == LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&'static str> {
        let found: Vec<String> = find(text.as_bytes()).map(|finding| finding.rule.to_string()).collect();
        RULES.iter().map(|rule| rule.word).filter(|word| found.iter().any(|found| found == word)).collect()
    }

    #[test]
    fn each_rule_has_one_group() {
        assert_eq!(ALL.captures_len(), RULES.len() + 1);
    }

    /// Heads and tails apart, so that no scanner takes this file for a leak.
    #[test]
    fn each_rule_finds_its_kind() {
        let tail = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1Ab3dEf6hIj9lMn2pQr5";
        let kinds = [
            ("anthropic-key", format!("sk-{}{tail}", "ant-api03-")),
            ("openrouter-key", format!("sk-{}{tail}", "or-v1-")),
            ("openai-key", format!("sk-{tail}")),
            ("openai-key", format!("sk-{}{tail}", "svcacct-")),
            ("google-key", format!("AI{}{}", "za", &tail[..35])),
            ("aws-key", format!("AK{}", "IAABCDEFGHIJ234567")),
            ("huggingface-key", format!("h{}{tail}", "f_")),
            ("perplexity-key", format!("pp{}{tail}", "lx-")),
            ("github-token", format!("gh{}{tail}", "p_")),
            ("github-token", format!("github{}{tail}", "_pat_")),
            ("slack-token", format!("xo{}1234567890-abcdef", "xb-")),
            ("jwt", format!("ey{0}hbGciOiJIUzI1.ey{0}zdWIiOiIxMjM0.sig", "J")),
            ("private-key", format!("-----BEGIN {} KEY-----\nMIIE\n-----END {0} KEY-----", "PRIVATE")),
            ("private-key", format!("-----BEGIN RSA {} KEY-----\\nProc-Type: 4,ENCRYPTED\\nMIIE", "PRIVATE")),
            ("bearer-token", "Authorization: Bearer abc.def-123456789012".to_string()),
            ("basic-pair", "authorization: Basic dXNlcjpwYXNzd29yZA==".to_string()),
            ("url-password", "postgres://admin:hunter22@db:5432/x".to_string()),
            ("named-secret", r#"{\"api_key\": \"0123456789abcdef0123\"}"#.to_string()),
            ("named-secret", "AZURE_API_KEY=0123456789abcdef0123".to_string()),
        ];
        for (word, text) in kinds {
            assert_eq!(words(&format!("x \"{text}\" y")), [word], "{text}");
        }
    }

    #[test]
    fn ids_digests_images_and_prose_are_no_secrets() {
        let image = format!("data:image/png;base64,{}/sk-abcdefghij1234567890/AKIAABCDEFGHIJKLMNOP", "iVBORw0KGgoAAAANSUhEUgAA".repeat(4));
        let harmless = [
            "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz12",
            "req_011CSHoEeqs5C35K2UUqR7Fy",
            "msg_01XFDUDYJgAACzvnptvVoYEL",
            "call_abc123DEF456ghi789JKL012",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "traceparent 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "task-0123456789abcdef0123456789",
            "sk-learn-is-a-machine-learning-library",
            "the basic training and a Basic authentication scheme",
            "a bearer of good-news-and-of-tidings",
            "password: your-new-password-goes-here",
            "max_tokens: 12345678901234567890, pass the token",
            "http://localhost:8080/a@b",
            "https://user@example.com/path",
            "[redacted:openai-key:1] Bearer [redacted:bearer-token:1]",
            image.as_str(),
        ];
        for text in harmless {
            assert!(words(text).is_empty(), "{text}: {:?}", words(text));
        }
    }

    #[test]
    fn doubtful_prefixes_are_not_read_again_and_again() {
        assert!(words(&"sk-".repeat(1 << 20)).is_empty());
    }

    #[test]
    fn a_secret_behind_a_doubtful_one_is_found() {
        let token = format!("ey{0}hbGciOiJIUzI1.ey{0}zdWIiOiIxMjM0.sig", "J");
        assert_eq!(words(&format!("basic {token}")), ["jwt"]);
    }
}
