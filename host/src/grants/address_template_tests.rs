#![allow(clippy::unwrap_used)]
use std::path::Path;

use super::*;
use crate::grants::policy::{ConnectionHosts, Policy};
use serde_json::json;

/// What a template, of `connect` if it has no space, stands for in a config that the author wrote.
fn expand(template: &str, config: &Value) -> Result<Vec<String>, Report> {
    let template =
        if template.contains(' ') { AddressTemplate::http(template)? } else { AddressTemplate::connect(template)? };
    let config = config.as_object().unwrap();
    let policy = Policy::default_with(ConnectionHosts::default());
    template
        .expand(&GrantRequest { step: "s", config, written: config, base: Path::new("/base"), policy: &policy }, "call")
}

#[test]
fn addresses_with_fixed_parts_are_filled_from_the_config() {
    let config = json!({"shop": "acme", "host": "acme.example.com", "with_port": "acme.example.com:8443", "port": 5432,
        "at": "127.0.0.1:18321", "brokers": ["a:9092", "[::1]:9092"], "url": "https://a.example.com/v1/", "path": "/rest/v1",
        "none": "", "table": "my täble", "id": 7});
    for (template, expected) in [
        ("GET https://api.stripe.com/v1", vec!["GET https://api.stripe.com/v1"]),
        ("GET https://{config.shop}.myshopify.com/admin", vec!["GET https://acme.myshopify.com/admin"]),
        ("GET https://eu-{config.shop}-{config.id}.x.com", vec!["GET https://eu-acme-7.x.com"]),
        ("GET https://{config.host}/v1", vec!["GET https://acme.example.com/v1"]),
        ("GET https://{config.with_port}/v1", vec!["GET https://acme.example.com:8443/v1"]),
        ("GET http://{config.host}:{config.port}", vec!["GET http://acme.example.com:5432"]),
        ("GET https://[::1]:8443/v1", vec!["GET https://[::1]:8443/v1"]),
        ("GET {config.url}", vec!["GET https://a.example.com/v1/"]),
        ("GET {config.url}{config.none}", vec!["GET https://a.example.com/v1/"]),
        ("GET {config.url}{config.path}/{config.table}", vec!["GET https://a.example.com/v1//rest/v1/my%20t%C3%A4ble"]),
        ("GET https://x.com/t-{config.id}/{config.shop}", vec!["GET https://x.com/t-7/acme"]),
        ("{config.at}", vec!["127.0.0.1:18321"]),
        ("{config.brokers}", vec!["a:9092", "[::1]:9092"]),
        ("{config.host}:{config.port}", vec!["acme.example.com:5432"]),
        ("db.example.com:5432", vec!["db.example.com:5432"]),
        ("db-{config.shop}.example.com:{config.port}", vec!["db-acme.example.com:5432"]),
        ("{config.absent}.example.com:1", vec![]),
    ] {
        assert_eq!(expand(template, &config).unwrap(), expected, "{template}");
    }
}

#[test]
fn no_value_leads_out_of_the_label_of_a_fixed_host() {
    let long = "a".repeat(64);
    for value in [
        "",
        "a.b",
        "evil.com/",
        "evil.com#",
        "evil.com?",
        "x@evil.com",
        "evil.com:80",
        "evil.com%2f",
        "%2e",
        "a%00",
        "a b",
        " a",
        "a\n",
        "a\0b",
        "*",
        "-a",
        "a-",
        "a_b",
        "ä",
        "\u{212a}",
        "a\u{3002}b",
        "a\u{ff0e}b",
        "a\\b",
        "[::1]",
        "{config.x}",
        "http://evil.com/",
        long.as_str(),
    ] {
        for template in ["GET https://{config.shop}.example.com/v1", "db-{config.shop}.example.com:5432"] {
            let report = expand(template, &json!({"shop": value})).unwrap_err();
            let message = report.message;
            assert!(message.contains("`shop`") && message.contains("one label of a host name"), "{value}: {message}");
            assert!(message.contains(&*line(value)), "{value}: {message}");
        }
    }
    for value in ["a", "A-1", "xn--bcher-kva", "127"] {
        assert!(expand("GET https://{config.shop}.example.com/v1", &json!({"shop": value})).is_ok(), "{value}");
    }
}

#[test]
fn a_whole_host_is_one_name_or_address() {
    for (value, alone, before_port, with_port) in [
        ("a.example.com", true, true, false),
        ("10.0.0.5", true, true, false),
        ("[::1]", true, true, false),
        ("a.example.com:80", true, false, true),
        ("[::1]:80", true, false, true),
        ("::1", false, false, false),
        ("a.example.com:0", false, false, false),
        ("a.example.com:80:80", false, false, false),
        ("a.example.com/x", false, false, false),
        ("x@a.example.com", false, false, false),
        ("x@a.example.com:80", false, false, false),
        ("a..b", false, false, false),
        (".a", false, false, false),
        ("*", false, false, false),
        ("*.example.com:80", false, false, false),
        ("\u{212a}.example.com", false, false, false),
        ("", false, false, false),
    ] {
        let config = json!({"host": value});
        for (template, fits) in [
            ("GET https://{config.host}/v1", alone),
            ("GET https://{config.host}:81/v1", before_port),
            ("{config.host}:81", before_port),
            ("{config.host}", with_port),
        ] {
            assert_eq!(expand(template, &config).is_ok(), fits, "{template}: {value}");
        }
    }
}

#[test]
fn no_value_leads_out_of_its_place_in_a_path_or_port() {
    for (template, values) in [
        (
            "GET https://x.com/v1/{config.x}",
            vec!["", ".", "..", "a/b", "../b", "a\\b", "%2e%2e", "..;a", "\u{ff0f}", "\u{2024}."],
        ),
        ("GET https://x.com/v1.{config.x}", vec!["", "a/b"]),
        (
            "GET {config.url}{config.x}",
            vec!["a", "@evil.com", ".evil.com", ":80", "?x", "/a?x", "/a#x", "/..", "/%2e%2e/x", "/a\\b"],
        ),
        (
            "GET {config.x}/v1",
            vec!["https://a.com?x=", "https://a.com/#", "https://x@a.com", "ftp://a.com", "a.com", "https://a.com/.."],
        ),
        ("a.example.com:{config.x}", vec!["", "0", "65536", "+1", "1:2", "80/", "a"]),
    ] {
        for value in values {
            let config = json!({"x": value, "url": "https://a.com"});
            let report = expand(template, &config).unwrap_err();
            assert!(report.message.contains("`x`"), "{template} {value}: {}", report.message);
        }
    }
}

#[test]
fn a_template_whose_parts_have_no_place_is_refused() {
    for text in [
        "GET {config.a}.example.com",
        "GET {config.a}@evil.com",
        "GET {config.a}:80",
        "GET {config.a}?x",
        "GET {config.a}{config.b}x",
        "GET https://{config.a}{config.b}/",
        "GET https://x.{config.a}/",
        "GET https://{config.a}.1/",
        "GET https://*.example.com/",
        "GET https://x@example.com/",
        "GET https://a.com/?x={config.a}",
        "GET https://a.com/#",
        "GET https://a.com/../x",
        "GET https://a.com/..{config.a}/../x",
        "GET https:///x",
        "GET https://a.com:x/",
        "GET {config.scheme}://a.com/",
        "GET ftp://a.com/",
        "{config.method} https://a.com/",
        "TRACE https://a.com/",
        "CONNECT https://a.com/",
        "GET,FETCH {config.a}",
        " {config.a}",
        "GET  {config.a}",
        "GET /x",
        "GET x",
        "https://a.com",
        "",
        "db",
        "db:",
        "db:0",
        "{config.a}{config.b}",
        "{config.a}{config.b}:1",
        "{config.a}:x{config.b}",
        "*:1",
        "x.{config.a}:1",
        "/etc/passwd",
        "a:1\n",
        "GET https://a.com/\0",
    ] {
        assert!(expand(text, &json!({})).is_err(), "{text}");
    }
}

#[test]
fn a_drivers_default_is_no_host_but_may_be_a_label_of_a_fixed_one() {
    let (config, written) = (json!({"host": "a.example.com", "region": "us"}), Map::new());
    let policy = Policy::default_with(ConnectionHosts::default());
    let config = config.as_object().unwrap();
    let request = GrantRequest { step: "s", config, written: &written, base: Path::new("/base"), policy: &policy };
    let whole = AddressTemplate::http("GET https://{config.host}/v1").unwrap();
    assert!(whole.expand(&request, "call").unwrap_err().message.contains("only its driver's default"));
    let fixed = AddressTemplate::http("GET https://{config.region}.Example.com/v1").unwrap();
    assert_eq!(fixed.expand(&request, "call").unwrap(), ["GET https://us.Example.com/v1"]);
    assert_eq!(fixed.fixed_hosts(config).unwrap(), ["us.example.com"]);
    assert_eq!(fixed.fixed_host().map(Template::text), Some("{config.region}.example.com"));
}
