//! Tests the client against servers that follow a script.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::transport::{Incoming, Outgoing, Transport};
use super::{Client, Retry};
use crate::{Error, ErrorKind, Result};

type Answer = Result<Incoming>;

/// Returns its responses in order and records the requests.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<Answer>>,
    asked: RefCell<Vec<String>>,
    slept: RefCell<Vec<Duration>>,
}

impl Transport for Script {
    fn send(&self, request: &Outgoing<'_>) -> Answer {
        let mut headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
        headers.sort();
        let body = String::from_utf8_lossy(request.body.unwrap_or_default()).into_owned();
        self.asked.borrow_mut().push(format!("{} {} {} {body}", request.method, request.url, headers.join(" ")));
        self.answers.borrow_mut().pop_front().unwrap()
    }

    fn sleep(&self, time: Duration) {
        self.slept.borrow_mut().push(time);
    }

    fn tell(&self, _: &str, _: &Error, _: Duration) {}
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Incoming { status, headers, body: Box::new(io::Cursor::new(body.into())) })
}

fn client(answers: Vec<Answer>) -> (Client, Rc<Script>) {
    let script = Rc::new(Script { answers: RefCell::new(answers.into()), ..Script::default() });
    (Client::over(Rc::clone(&script) as Rc<dyn Transport>), script)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `deflate` without zlib's header, as some servers send it.
fn bare(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_request_contains_what_was_configured() {
    let (client, script) = client(vec![answer(200, &[("Content-Type", "application/json")], r#"{"a": 1}"#)]);
    let request = client.header("X-One", "1").post("https://h/p?x=1").unwrap();
    let request = request.query("y", "ä").basic("me", "pw").header("x-one", "2").json(&[1, 2]).unwrap();
    let found: serde_json::Value = request.fetch().unwrap().json().unwrap();
    assert_eq!(found["a"], 1);
    assert_eq!(
        script.asked.borrow()[0],
        "POST https://h/p?x=1&y=%C3%A4 accept-encoding=gzip, deflate authorization=Basic bWU6cHc= content-length=5 \
         content-type=application/json x-one=2 [1,2]"
    );
}

#[test]
fn headers_cannot_smuggle_others() {
    let (client, script) = client(vec![]);
    for (name, value) in [("x", "1\r\nhost: evil"), ("x y", "1"), ("", "1"), ("x", "\0")] {
        let error = client.get("https://h/").unwrap().header(name, value).fetch().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Config), "{error:?}");
    }
    assert!(script.asked.borrow().is_empty());
}

#[test]
fn statuses_become_error_kinds() {
    let table = [
        (401, "auth", false),
        (403, "denied", false),
        (404, "not-found", false),
        (410, "config", false),
        (422, "config", false),
        (304, "config", false),
        (429, "rate-limited", true),
        (501, "transient", false),
        (503, "transient", true),
    ];
    for (status, kind, again) in table {
        let body = r#"{"message":   "no such
            thing"}"#;
        let answers = vec![answer(status, &[], body), answer(status, &[], body), answer(200, &[], "")];
        let (client, script) = client(answers);
        let client = client.retry(Retry { retries: 1, ..Retry::default() });
        let error = client.get("https://h/x?token=s3cret&page=2").unwrap().fetch().unwrap_err();
        let found = match error.kind {
            ErrorKind::Auth => "auth",
            ErrorKind::Denied => "denied",
            ErrorKind::NotFound => "not-found",
            ErrorKind::RateLimited => "rate-limited",
            ErrorKind::Transient => "transient",
            ErrorKind::Config => "config",
            _ => "other",
        };
        assert_eq!(found, kind, "{status}");
        assert_eq!(script.asked.borrow().len(), if again { 2 } else { 1 }, "{status}");
        assert!(error.message.starts_with(&format!("`GET https://h/x?token=***&page=2` answered {status}")), "{error}");
        assert!(error.message.contains(r#"{"message": "no such thing"}"#), "{error}");
        assert_eq!(error.message.ends_with("(tried 2 times)"), again, "{error}");
    }
}

#[test]
fn a_temporary_failure_is_retried_after_the_servers_wait() {
    let broken = || Err(Error::new(ErrorKind::Transient, "the connection broke"));
    let answers = vec![answer(429, &[("retry-after", "7")], ""), broken(), answer(200, &[], "ok")];
    let (client, script) = client(answers);
    assert_eq!(client.get("https://h/").unwrap().fetch().unwrap().text().unwrap(), "ok");
    assert_eq!(script.slept.borrow().iter().filter(|slept| **slept == Duration::from_secs(7)).count(), 1);
    assert_eq!(client.sent(), 3);
}

#[test]
fn a_post_is_retried_only_if_declared_repeatable() {
    let (once, script) = client(vec![answer(503, &[], ""), answer(200, &[], "ok")]);
    assert!(once.post("https://h/").unwrap().fetch().is_err());
    assert_eq!(script.asked.borrow().len(), 1);
    let (told, _) = client(vec![answer(503, &[], ""), answer(200, &[], "ok")]);
    assert!(told.post("https://h/").unwrap().repeatable().fetch().is_ok());
}

#[test]
fn a_truncated_body_is_an_error_and_a_retry_reads_it() {
    let long = [("content-length", "10")];
    let (client, _) = client(vec![answer(200, &long, "12345"), answer(200, &long, "1234567890")]);
    assert_eq!(client.get("https://h/").unwrap().fetch().unwrap().text().unwrap(), "1234567890");

    let (once, _) = self::client(vec![answer(200, &long, "12345")]);
    let error = once.retry(Retry::never()).get("https://h/").unwrap().fetch().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Transient));
    assert!(error.message.contains("ends after 5 of 10 bytes"), "{error}");

    let mut cut = gzipped(b"some text that is long enough to be cut off");
    cut.truncate(cut.len() - 9);
    let (gzip, _) = self::client(vec![answer(200, &[("content-encoding", "gzip")], cut)]);
    let error = gzip.retry(Retry::never()).get("https://h/").unwrap().fetch().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Transient) && error.message.contains("before it is whole"), "{error}");
}

#[test]
fn a_compressed_body_that_is_truncated_anywhere_is_an_error() {
    let text: Vec<u8> =
        (0..5000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_string().into_bytes()).collect();
    for (encoding, whole) in [("gzip", gzipped(&text)), ("deflate", deflated(&text)), ("deflate", bare(&text))] {
        for length in [1, 2, 9, whole.len() / 2, whole.len() - 5, whole.len() - 4, whole.len() - 1] {
            let (client, _) = client(vec![answer(200, &[("content-encoding", encoding)], &whole[..length])]);
            let error = client.retry(Retry::never()).get("https://h/").unwrap().fetch().unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Transient), "{encoding} {length}: {error}");
        }
        let (client, _) = client(vec![answer(200, &[("content-encoding", encoding)], whole)]);
        assert_eq!(client.get("https://h/").unwrap().fetch().unwrap().bytes, text);
    }
}

#[test]
fn an_empty_body_is_distinguished_from_a_truncated_one() {
    let empty = |status, headers: &[(&str, &str)], body: &str| {
        let (client, _) = client(vec![answer(status, headers, body)]);
        client.get("https://h/").unwrap().fetch().unwrap().is_empty()
    };
    assert!(empty(204, &[("content-encoding", "gzip"), ("content-length", "7")], ""));
    assert!(empty(205, &[], ""));
    assert!(empty(200, &[("content-length", "0"), ("content-encoding", "gzip")], ""));
    assert!(empty(200, &[], " \r\n\t"));
    assert!(empty(200, &[], "\u{feff}\n"));
    assert!(!empty(200, &[], "[]"));
    let (client, _) = client(vec![answer(200, &[("content-encoding", "gzip")], "")]);
    assert!(client.retry(Retry::never()).get("https://h/").unwrap().fetch().is_err());
}

#[test]
fn an_accepted_but_uncompleted_request_is_retried() {
    let pending = || answer(202, &[("retry-after", "1")], r#"{"status": "running"}"#);
    let (client, script) = client(vec![pending(), pending(), answer(200, &[], "done")]);
    assert_eq!(client.get("https://h/").unwrap().fetch().unwrap().text().unwrap(), "done");
    assert_eq!(script.slept.borrow().iter().filter(|slept| **slept == Duration::from_secs(1)).count(), 2);
    let (once, _) = self::client(vec![pending()]);
    let error = once.retry(Retry::never()).get("https://h/").unwrap().fetch().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Transient) && error.message.contains("answered 202"), "{error}");
    let (done, _) = self::client(vec![answer(202, &[], "[1]")]);
    assert_eq!(done.get("https://h/").unwrap().fetch().unwrap().text().unwrap(), "[1]");
}

#[test]
fn a_wait_with_any_status_is_respected_and_reported() {
    for status in [401, 403, 404, 409, 413, 420, 423, 425, 503, 520, 529] {
        let wait = || answer(status, &[("Retry-After", "1")], "later");
        let (client, script) = client(vec![wait(), answer(200, &[], "ok")]);
        assert_eq!(client.get("https://h/").unwrap().fetch().unwrap().text().unwrap(), "ok", "{status}");
        assert!(script.slept.borrow().contains(&Duration::from_secs(1)));
        let (once, _) = self::client(vec![wait()]);
        let error = once.retry(Retry::never()).get("https://h/").unwrap().fetch().unwrap_err();
        assert!(error.message.contains("asks to wait 1 s: later"), "{error}");
    }
    let (client, script) = client(vec![answer(403, &[("retry-after", "120")], "")]);
    let error = client.get("https://h/").unwrap().fetch().unwrap_err();
    assert!(error.message.contains("asks to wait 120 s, longer than the 60 s that are waited at most"), "{error}");
    assert_eq!(script.asked.borrow().len(), 1);
}

#[test]
fn a_refusal_that_says_when_the_limit_is_reset_is_about_the_rate() {
    for (headers, rate) in [(("retry-after", "3600"), true), (("x-ratelimit-remaining", "12"), false)] {
        let (client, _) = client(vec![answer(403, &[headers], "")]);
        let error = client.get("https://h/").unwrap().fetch().unwrap_err();
        assert_eq!(matches!(error.kind, ErrorKind::RateLimited), rate, "{error}");
    }
}

#[test]
fn a_redirect_sends_no_body_to_another_origin() {
    for status in [307, 308] {
        let (client, script) = client(vec![answer(status, &[("location", "https://other/token")], "")]);
        let request = client.post("https://h/token").unwrap().form(&[("client_secret", "hidden")]).repeatable();
        let error = request.fetch().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Denied) && error.message.contains("`https://other/token`"), "{error}");
        assert_eq!(script.asked.borrow().len(), 1);
    }
    // A see-other leads to a GET, which has no body.
    let (client, script) = client(vec![answer(303, &[("location", "https://other/x")], ""), answer(200, &[], "")]);
    client.post("https://h/a").unwrap().form(&[("client_secret", "hidden")]).fetch().unwrap();
    assert!(!script.asked.borrow()[1].contains("hidden"));
}

#[test]
fn bodies_are_decompressed_and_bounded() {
    let text = b"hello hello hello".as_slice();
    let encodings =
        [("gzip", gzipped(text)), ("deflate", deflated(text)), ("identity", text.to_vec()), ("X-GZIP", gzipped(text))];
    for (encoding, body) in encodings {
        let (client, _) = client(vec![answer(200, &[("Content-Encoding", encoding)], body)]);
        assert_eq!(client.get("https://h/").unwrap().fetch().unwrap().bytes, text, "{encoding}");
    }
    let bomb = gzipped(&vec![0; 8 << 20]);
    assert!(bomb.len() < 64 << 10);
    let cases = [("gzip", bomb), ("identity", vec![b'x'; (1 << 20) + 1])];
    for (encoding, body) in cases {
        let (client, _) = client(vec![answer(200, &[("content-encoding", encoding)], body)]);
        let error = client.max_bytes(1 << 20).get("https://h/").unwrap().fetch().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Data), "{error:?}");
        assert!(error.message.contains("larger than the 1 MiB"), "{error}");
    }
    for (encoding, body) in [("gzip", "no gzip at all, whatever it says"), ("br", "x")] {
        let (client, _) = client(vec![answer(200, &[("content-encoding", encoding)], body)]);
        let error = client.get("https://h/").unwrap().fetch().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Data), "{error:?}");
    }
}

#[test]
fn a_compression_without_a_header_is_recognised_by_its_first_bytes() {
    let text = "[1, 2, \"é\"]".repeat(50);
    let fetched = |headers: &[(&str, &str)], body: Vec<u8>, max: u64| {
        let (client, _) = client(vec![answer(200, headers, body)]);
        client.max_bytes(max).get("https://h/export.json.gz").unwrap().fetch().unwrap().text()
    };
    let twice = gzipped(&gzipped(text.as_bytes()));
    let halves = [gzipped(&text.as_bytes()[..100]), gzipped(&text.as_bytes()[100..])].concat();
    for (headers, body) in [
        (&[("content-type", "application/gzip")] as &[_], gzipped(text.as_bytes())),
        (&[], halves),
        (&[("content-encoding", "gzip")], twice.clone()),
        (&[("content-encoding", "gzip"), ("content-encoding", "gzip")], twice),
        (&[("content-encoding", "identity, gzip")], gzipped(text.as_bytes())),
        (&[("content-encoding", "utf-8")], text.clone().into_bytes()),
        (&[("content-encoding", "deflate")], bare(text.as_bytes())),
    ] {
        assert_eq!(fetched(headers, body, 1 << 20).unwrap(), text, "{headers:?}");
    }
    for (body, words) in [
        (b"\x28\xb5\x2f\xfd\x04".to_vec(), "zstd by its first bytes"),
        (b"PK\x03\x04".to_vec(), "ZIP by its first bytes"),
        (deflated(b"[]"), "deflate by its first bytes"),
        (b"\x8b\x02\x80[1]\x03".to_vec(), "a compression by `content-encoding`"),
        (gzipped(text.as_bytes())[..20].to_vec(), "ends before it is whole"),
        ([gzipped(b"[]"), b"x".to_vec()].concat(), "gzip by its first bytes, but"),
        (gzipped(&[b' '; 5000]), "larger than the 4 KiB"),
    ] {
        let error = fetched(&[], body, 4096).unwrap_err();
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn an_endless_body_is_bounded_while_it_is_streamed() {
    let incoming = Incoming { status: 200, headers: Vec::new(), body: Box::new(io::repeat(b'x')) };
    let (client, _) = client(vec![Ok(incoming)]);
    let mut response = client.max_bytes(100_000).get("https://h/").unwrap().send().unwrap();
    let mut sink = vec![0; 4096];
    let error = loop {
        match response.read(&mut sink) {
            Ok(count) => assert!(count > 0),
            Err(error) => break Error::from(error),
        }
    };
    assert!(matches!(error.kind, ErrorKind::Data) && error.message.contains("larger"), "{error}");
}

#[test]
fn redirects_are_followed_without_secrets_for_others() {
    let to = |status, place| answer(status, &[("location", place)], "moved");
    let (client, script) =
        client(vec![to(301, "/b"), to(307, "https://other/c"), to(302, "https://h/d"), answer(200, &[], "ok")]);
    let request = client.header("x-plain", "1").get("https://h/a").unwrap().bearer("s3cret").secret_header("x-id", "7");
    let answer_ = request.fetch().unwrap();
    assert_eq!(answer_.url.to_string(), "https://h/d");
    let asked = script.asked.borrow();
    for (hop, secret) in [(0, true), (1, true), (2, false), (3, false)] {
        assert_eq!(asked[hop].contains("s3cret") && asked[hop].contains("x-id=7"), secret, "{}", asked[hop]);
        assert!(asked[hop].contains("x-plain=1"));
    }
}

#[test]
fn a_redirected_post_becomes_a_get_if_the_standard_says_so() {
    for (status, expected) in
        [(303, "GET https://h/b"), (302, "GET https://h/b"), (307, "POST https://h/b"), (308, "POST https://h/b")]
    {
        let (client, script) = client(vec![answer(status, &[("location", "b")], ""), answer(200, &[], "")]);
        client.post("https://h/a").unwrap().body("x=1", "text/plain").fetch().unwrap();
        let asked = script.asked.borrow();
        assert!(asked[1].starts_with(expected), "{status}: {}", asked[1]);
        assert_eq!(asked[1].ends_with("x=1"), expected.starts_with("POST"));
    }
}

#[test]
fn redirects_have_a_bound_and_refusals_say_so() {
    let round = || answer(302, &[("location", "/again")], "");
    let (client, script) = client(vec![round(), round(), round(), round()]);
    let error = client.redirects(2).get("https://h/").unwrap().fetch().unwrap_err();
    assert!(error.message.contains("redirects more than 2 times"), "{error}");
    assert_eq!(script.asked.borrow().len(), 3);

    let refused = Err(Error::new(ErrorKind::Denied, "the step was not granted this call"));
    let (client, _) = self::client(vec![answer(302, &[("location", "http://169.254.169.254/latest")], ""), refused]);
    let error = client.get("https://h/").unwrap().fetch().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Denied));
    assert!(error.message.contains("169.254.169.254") && error.message.contains("not granted"), "{error}");

    for place in ["mailto:a@b", "file:///etc/passwd", "https://u:p@h/"] {
        let (client, _) = self::client(vec![answer(302, &[("location", place)], "")]);
        let error = client.get("https://h/").unwrap().fetch().unwrap_err();
        assert!(error.message.contains("redirects to no address"), "{place}: {error}");
    }
}

#[test]
fn requests_keep_to_the_rate() {
    let (client, script) = client(vec![answer(200, &[], ""), answer(200, &[], ""), answer(200, &[], "")]);
    let client = client.requests_per_second(2.0);
    let start = Instant::now();
    for _ in 0..3 {
        client.get("https://h/").unwrap().fetch().unwrap();
    }
    // The script does not sleep, so each wait counts from the start.
    let waited = *script.slept.borrow().last().unwrap() + start.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
}

#[test]
fn a_response_that_is_not_json_is_quoted() {
    let (client, _) = client(vec![answer(200, &[], "<html>\n  Sign in</html>")]);
    let error = client.get("https://h/").unwrap().fetch().unwrap().json::<serde_json::Value>().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Data));
    assert!(error.message.contains("it begins with: <html> Sign in</html>"), "{error}");
}
