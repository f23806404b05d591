//! Recordings of other tools, read as wire.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use relapse::wire::call::Attempt;
use relapse::wire::{self, Payload};

const VCRPY: &str = include_str!("cassettes/vcrpy.yaml");
const HAR: &str = include_str!("cassettes/polly.har");

fn attempts(text: &str) -> Vec<Option<Attempt>> {
    wire::read(text, "file").unwrap().iter().map(Attempt::of).collect()
}

#[test]
fn a_cassette_is_read_with_its_streams_and_its_compressed_bodies() {
    let exchanges = wire::read(VCRPY, "vcrpy.yaml").unwrap();
    assert_eq!(exchanges[0].request.path, "/v1/chat/completions?beta=true");
    assert_eq!(exchanges[0].request.headers["host"], "api.openai.com");
    assert_eq!(exchanges[0].request.body["messages"][0]["content"], "Hi");
    assert_eq!(exchanges[2].response.as_ref().unwrap().payload, Payload::Empty);
    let attempts = attempts(VCRPY);
    let streamed = attempts[0].as_ref().unwrap();
    assert_eq!((streamed.text.as_deref(), streamed.finish.as_deref()), (Some("Héllo 😀"), Some("stop")));
    assert_eq!((streamed.model_responded.as_deref(), streamed.streamed), (Some("gpt-4o-mini-2026"), true));
    let zipped = attempts[1].as_ref().unwrap();
    assert_eq!((zipped.text.as_deref(), zipped.usage.input, zipped.usage.output), (Some("Hi"), Some(3), Some(2)));
    assert_eq!(attempts[2], None);
}

#[test]
fn a_cassette_says_nothing_of_times() {
    let attempts = attempts(VCRPY);
    let streamed = attempts[0].as_ref().unwrap();
    assert_eq!((streamed.first_token, streamed.total), (None, None));
}

#[test]
fn a_cassette_in_json_and_one_of_ruby_are_read_too() {
    let json = r#"{"version": 1, "interactions": [{"request": {"method": "POST", "uri": "https://h/v1/chat/completions", "body": "{\"model\":\"m\"}", "headers": {"a": ["b"]}},
        "response": {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": "{\"choices\":[{\"message\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}"}}}]}"#;
    assert_eq!(attempts(json)[0].as_ref().unwrap().text.as_deref(), Some("yes"));
    let ruby = "---\nhttp_interactions:\n- request:\n    method: post\n    uri: https://h/v1/chat/completions\n    body:\n      encoding: UTF-8\n      string: '{\"model\":\"m\"}'\n    headers:\n      A: [b]\n  response:\n    status:\n      code: 200\n      message: OK\n    headers: {}\n    body:\n      encoding: UTF-8\n      base64_string: |\n        eyJjaG9pY2VzIjpbeyJtZXNzYWdlIjp7ImNvbnRlbnQiOiJ5ZXMifSwiZmlu\n        aXNoX3JlYXNvbiI6InN0b3AifV19\n  recorded_at: Sat, 14 Mar 2026 07:55:00 GMT\nrecorded_with: VCR 6.0.0\n";
    assert_eq!(attempts(ruby)[0].as_ref().unwrap().text.as_deref(), Some("yes"));
}

#[test]
fn an_archive_is_read_with_its_errors_and_what_was_never_answered() {
    let exchanges = wire::read(HAR, "polly.har").unwrap();
    assert_eq!((exchanges[0].ms, exchanges[0].at.as_deref()), (Some(812.5), Some("2026-03-14T07:55:00.000Z")));
    let attempts = attempts(HAR);
    let limited = attempts[0].as_ref().unwrap();
    assert_eq!((limited.status, limited.retry_after, limited.error.as_ref().unwrap().kind.as_str()), (Some(429), Some(2.0), "rate_limit"));
    assert_eq!(attempts[1].as_ref().unwrap().text.as_deref(), Some("Hi"));
    assert_eq!((attempts[2].as_ref().unwrap().status, exchanges[2].ms), (None, None));
}

#[test]
fn what_is_wrong_with_a_recording_is_named_with_its_place() {
    let no_request = "interactions:\n- response: {status: {code: 200}}\n";
    let fault = wire::read(no_request, "a.yaml").unwrap_err().iter().next().unwrap().to_string();
    assert!(fault.starts_with("a.yaml:2:"), "{fault}");
    let torn = wire::read(&HAR[..400], "a.har").unwrap_err().iter().next().unwrap().to_string();
    assert!(torn.starts_with("a.har:") && torn.contains("not a HAR archive"), "{torn}");
    let binary = "interactions:\n- request: {uri: /, body: !!binary '???'}\n";
    assert!(wire::read(binary, "a.yaml").unwrap_err().iter().next().unwrap().message.contains("base64"));
}

#[test]
fn a_body_that_expands_beyond_the_cap_stays_compressed() {
    let bomb = {
        use base64::Engine as _;
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let block = vec![b' '; 1 << 20];
        (0..65).for_each(|_| encoder.write_all(&block).unwrap());
        base64::engine::general_purpose::STANDARD.encode(encoder.finish().unwrap())
    };
    let text = format!(
        "interactions:\n- request: {{uri: /}}\n  response: {{status: {{code: 200}}, headers: {{}}, body: {{string: !!binary '{bomb}'}}}}\n"
    );
    let exchanges = wire::read(&text, "bomb.yaml").unwrap();
    assert!(matches!(&exchanges[0].response.as_ref().unwrap().payload, Payload::Bytes(bytes) if bytes.starts_with(&[0x1f, 0x8b])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_recording_with_a_piece_replaced_is_read_or_refused(
        sample in prop::sample::select(vec![VCRPY, HAR]), at in any::<prop::sample::Index>(), length in 0..40usize, piece in "[\\PC\n&*!:{}\\[\\]]{0,12}",
    ) {
        let start = floor(sample, at.index(sample.len()));
        let end = floor(sample, (start + length).min(sample.len()));
        let _ = wire::read(&format!("{}{piece}{}", &sample[..start], &sample[end..]), "file");
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
