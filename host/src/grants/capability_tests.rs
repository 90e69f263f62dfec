#![allow(clippy::unwrap_used)]
use std::path::{Path, PathBuf};

use super::*;
use crate::grants::grant::instances;
use crate::grants::policy::ConnectionHosts;
use crate::grants::policy::Policy;
use serde_json::json;

fn grant(read: &str, config: Value) -> Result<Vec<PathBuf>, Report> {
    let wanted = WantedGrants { read: vec![read.parse()?], ..WantedGrants::default() };
    decide(&wanted, &config, &Policy::default_with(ConnectionHosts::default()))
        .map(|grants| grants.read.into_iter().map(|file| file.place).collect())
}

fn template<T: std::str::FromStr<Err = Report>>(text: &str) -> T {
    text.parse().unwrap()
}

fn decide(wanted: &WantedGrants, config: &Value, policy: &Policy) -> Result<Grants, Report> {
    let config = config.as_object().unwrap();
    wanted.grant(&GrantRequest { step: "s", config, written: config, base: Path::new("/base"), policy })
}

#[test]
fn templates_follow_the_config() {
    let table = [
        ("{config.path}", json!({"path": "a.csv"}), vec!["a.csv"]),
        ("{config.path}", json!({"path": ["a.csv", "b.csv"]}), vec!["a.csv", "b.csv"]),
        ("{config.path}", json!({}), vec![]),
        ("{config.folder}/{config.file.name}", json!({"folder": "in", "file": {"name": "x"}}), vec!["in/x"]),
        ("{config.path}", json!({"path": "/base/a/./b/../c.csv"}), vec!["a/c.csv"]),
    ];
    for (template, config, expected) in table {
        let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
        assert_eq!(grant(template, config).unwrap(), expected, "{template}");
    }
}

#[test]
fn no_path_leads_out_of_the_base_folder() {
    for path in ["../x", "a/../../x", "/etc/passwd", "/base/../etc/passwd", "/basement/x", "", ".", "a/..", "x\0y"] {
        assert!(grant("{config.path}", json!({"path": path})).is_err(), "{path}");
    }
}

#[test]
fn instances_are_a_number_within_bounds() {
    for (config, expected) in [
        (json!({}), Some(1)),
        (json!({"partitions": 4}), Some(4)),
        (json!({"partitions": 0}), None),
        (json!({"partitions": 65}), None),
        (json!({"partitions": "many"}), None),
        (json!({"partitions": ["1", "2"]}), None),
    ] {
        let (base, policy) = (Path::new("/base"), Policy::default_with(ConnectionHosts::default()));
        let request = GrantRequest {
            step: "s",
            config: config.as_object().unwrap(),
            written: config.as_object().unwrap(),
            base,
            policy: &policy,
        };
        assert_eq!(instances(Some(&template("{config.partitions}")), &request).ok(), expected, "{config}");
    }
}

#[test]
fn a_drivers_default_does_not_set_the_number_of_instances() {
    let config = json!({"partitions": 16});
    let (base, policy) = (Path::new("/base"), Policy::default_with(ConnectionHosts::default()));
    let empty = Map::new();
    let request =
        GrantRequest { step: "s", config: config.as_object().unwrap(), written: &empty, base, policy: &policy };
    assert_eq!(instances(Some(&template("{config.partitions}")), &request).unwrap(), 1);
}

#[test]
fn the_author_decides_whom_https_trusts() {
    let policy = Policy::default_with(ConnectionHosts::default());
    let decide = |root: &str, config: Value, written: Value| {
        let wanted = WantedGrants { roots: vec![template(root)], ..WantedGrants::default() };
        let (config, written) = (config.as_object().unwrap(), written.as_object().unwrap());
        wanted.grant(&GrantRequest { step: "s", config, written, base: Path::new("/base"), policy: &policy })
    };
    let pem = json!({"connection": {"ca": "-----BEGIN"}});
    let granted = decide("{connection.ca}", pem.clone(), pem.clone()).unwrap();
    assert_eq!(granted.roots, ["-----BEGIN"]);
    assert_eq!(granted.words(), ["trust for HTTPS only the roots in its config, not the machine's"]);
    assert!(decide("{connection.ca}", json!({}), json!({})).unwrap().roots.is_empty());
    // A default, a default beside a written value, and a driver's own text, alone or around a field.
    for (root, written) in [
        ("{connection.ca}", json!({})),
        ("{connection.ca}", json!({"connection": {"ca": "other"}})),
        ("-----BEGIN", pem.clone()),
        ("-----BEGIN\n{connection.ca}", pem.clone()),
    ] {
        assert!(decide(root, pem.clone(), written).is_err(), "{root}");
    }
}

#[test]
fn a_driver_names_no_file_by_itself() {
    for template in [
        "notes.txt",
        "./{config.path}",
        "{config.path}/../notes.txt",
        "{config.path}.bak",
        "notes.txt{config.absent}",
        "{config.path}/notes.txt",
    ] {
        let report = grant(template, json!({"path": "a"})).unwrap_err();
        assert!(report.message.contains("by itself"), "{template}: {}", report.message);
    }
}

#[test]
fn a_default_of_the_driver_names_no_file() {
    let wanted = WantedGrants { read: vec![template("{config.path}")], ..WantedGrants::default() };
    let policy = Policy::default_with(ConnectionHosts::default());
    let decide = |written: Value| {
        let filled = json!({"path": "a.csv"});
        let (config, written) = (filled.as_object().unwrap(), written.as_object().unwrap());
        wanted.grant(&GrantRequest { step: "s", config, written, base: Path::new("/base"), policy: &policy })
    };
    assert!(decide(json!({"path": "a.csv"})).is_ok());
    assert!(decide(json!({})).unwrap_err().message.contains("only its driver's defaults name it"));
}

#[test]
fn no_step_may_touch_osiris_own_files() {
    let table = [
        (".osiris_sessions/x/data/a.duckdb", false, false),
        (".osiris/state/p/s.json", false, false),
        ("other/.osiris_sessions/x/manifest.yaml", false, false),
        ("osiris_connections.yaml", false, false),
        ("other/../osiris_connections.yaml", false, false),
        ("osiris.lock", true, false),
        ("drivers/a.b.wasm", true, false),
        ("my/drivers/a.csv", true, true),
        ("a.csv", true, true),
    ];
    let policy = Policy::default_with(ConnectionHosts::default());
    for (path, read, write) in table {
        let (read_template, write_template) = (vec![template("{config.path}")], vec![template("{config.path}")]);
        let reading = WantedGrants { read: read_template, ..WantedGrants::default() };
        let writing = WantedGrants { write: write_template, ..WantedGrants::default() };
        assert_eq!(decide(&reading, &json!({"path": path}), &policy).is_ok(), read, "{path}");
        assert_eq!(decide(&writing, &json!({"path": path}), &policy).is_ok(), write, "{path}");
    }
}

#[test]
fn only_a_reader_gets_the_companions_of_a_file_that_the_author_names() {
    let single = crate::grants::policy::parse("read: [in/a.db]", "p", ConnectionHosts::default()).unwrap();
    let wanted = WantedGrants {
        read: vec![template("{config.path}"), template("{config.path}-wal")],
        ..WantedGrants::default()
    };
    let granted = decide(&wanted, &json!({"path": "in/a.db"}), &single).unwrap().read;
    let shown: Vec<_> = granted.iter().map(|file| (file.name.as_str(), file.companion_of.as_deref())).collect();
    assert_eq!(shown, [("in/a.db", None), ("in/a.db-wal", Some("in/a.db"))]);
    assert!(decide(&wanted, &json!({"path": "in/b.db"}), &single).is_err());
    for other in ["{config.path}-shm", "{config.path}.txt", "-wal", "notes-wal", "{config.path}-wal/{config.path}"] {
        assert!(other.parse::<crate::grants::files::ReadTemplate>().is_err(), "{other}");
    }
    assert!("{config.path}-wal".parse::<crate::grants::files::FileTemplate>().is_err());
}

#[test]
fn a_policy_narrows_files_and_allows_reading_from_other_folders() {
    let policy = crate::grants::policy::parse(
        "read: [in, /data/shared]\nwrite: [out, /data/out]",
        "p",
        ConnectionHosts::default(),
    )
    .unwrap();
    let wanted = WantedGrants {
        read: vec![template("{config.from}")],
        write: vec![template("{config.to}")],
        ..WantedGrants::default()
    };
    let table = [
        ("in/a.csv", "out/b.csv", true),
        ("/data/shared/a.csv", "out/b.csv", true),
        ("in/../in/a.csv", "/base/out/b.csv", true),
        ("a.csv", "out/b.csv", false),
        ("in/../a.csv", "out/b.csv", false),
        ("inn/a.csv", "out/b.csv", false),
        ("/data/shared/../secret.csv", "out/b.csv", false),
        ("/data/other.csv", "out/b.csv", false),
        ("in/a.csv", "b.csv", false),
        ("in/a.csv", "/data/out/b.csv", false),
    ];
    for (read, write, allowed) in table {
        let decided = decide(&wanted, &json!({"from": read, "to": write}), &policy);
        assert_eq!(decided.is_ok(), allowed, "{read} {write}: {decided:?}");
    }
    let outside = decide(&wanted, &json!({"from": "/data/shared/x/a.csv", "to": "out/b"}), &policy).unwrap();
    assert_eq!(outside.read[0].root, Path::new("/data/shared"));
    assert_eq!(outside.words(), ["read `/data/shared/x/a.csv`", "write `out/b`"]);
}

#[test]
fn a_driver_connects_where_connections_or_policy_name_the_host() {
    let wanted = WantedGrants {
        connect: vec![template("{connection.host}:{connection.port}")],
        http: vec![template("GET {config.url}")],
        ..WantedGrants::default()
    };
    let all = BTreeSet::from(["db".to_owned(), "api".to_owned()]);
    let private = BTreeSet::from(["db".to_owned()]);
    let by_connections = Policy::default_with(ConnectionHosts { all, private });
    let by_policy = crate::grants::policy::parse(
        "connect: ['db:1']\nhttp: ['GET https://api/v1']",
        "p",
        ConnectionHosts::default(),
    )
    .unwrap();
    let table = [
        (json!({"connection": {"host": "DB", "port": 1}}), true, true),
        (json!({"connection": {"host": "db", "port": 2}}), true, false),
        (json!({"connection": {"host": "other", "port": 1}}), false, false),
        (json!({"connection": {"host": "169.254.169.254", "port": 80}}), false, false),
        (json!({"connection": {"host": "db:1@evil", "port": 1}}), false, false),
        (json!({"url": "https://api/v1/users"}), true, true),
        (json!({"url": "https://api/v2"}), true, false),
        (json!({"url": "https://evil/v1"}), false, false),
        (json!({"url": "file:///etc/passwd"}), false, false),
    ];
    for (config, connections, policy) in table {
        assert_eq!(decide(&wanted, &config, &by_connections).is_ok(), connections, "{config}");
        assert_eq!(decide(&wanted, &config, &by_policy).is_ok(), policy, "{config}");
    }
    // A driver's own text names no host in a private network, unless the operator allows the host.
    let config = json!({"connection": {"host": "db", "port": 1}, "url": "https://api/v1"});
    let wanted = WantedGrants { connect: vec![template("db:1")], ..wanted.clone() };
    assert!(decide(&wanted, &config, &by_connections).unwrap_err().message.contains("only its driver names it"));
    assert!(decide(&wanted, &config, &by_policy).is_ok());
    let wanted = WantedGrants { connect: vec![template("{connection.host}:1")], ..wanted };
    let empty = Map::new();
    let filled = config.as_object().unwrap();
    let request =
        GrantRequest { step: "s", config: filled, written: &empty, base: Path::new("/base"), policy: &by_connections };
    assert!(wanted.grant(&request).is_err());
    let words = decide(&wanted, &config, &by_connections).unwrap().words();
    assert_eq!(words, ["connect to `db:1` (which may lie in a private network)", "call `GET https://api:443/v1`"]);
    assert_eq!(decide(&wanted, &config, &by_connections).unwrap().fixed_hosts, BTreeSet::new());
}

#[test]
fn a_host_that_the_driver_fixes_is_one_of_the_internet_unless_the_policy_lists_it() {
    let policy = |text: &str| {
        let private = BTreeSet::from(["warehouse".to_owned()]);
        let hosts = ConnectionHosts { all: private.clone(), private };
        crate::grants::policy::parse(text, "p", hosts).unwrap()
    };
    // The host of the spec; without a policy; with one that lists this host and port; with one that lists others.
    for (host, by_lock) in [
        ("api.example.com", true),
        ("{config.shop}.example.com", true),
        ("1.2.3.4", true),
        ("127.0.0.1", false),
        ("10.0.0.1", false),
        ("169.254.169.254", false),
        ("[::1]", false),
        ("localhost", false),
        ("{config.shop}.localhost", false),
        ("Warehouse", false),
    ] {
        let config = json!({"shop": "Acme"});
        let real = host.replace("{config.shop}", "acme").to_lowercase();
        let by_http =
            WantedGrants { http: vec![template(&format!("GET https://{host}/v1"))], ..WantedGrants::default() };
        let by_tcp = WantedGrants { connect: vec![template(&format!("{host}:443"))], ..WantedGrants::default() };
        for wanted in [by_http, by_tcp] {
            let granted = decide(&wanted, &config, &policy("{}"));
            assert_eq!(granted.is_ok(), by_lock, "{host}: {granted:?}");
            if let Ok(granted) = granted {
                assert_eq!(granted.fixed_hosts, BTreeSet::from([real.clone()]));
                assert!(granted.words()[0].ends_with("(a host that its driver fixes)"), "{:?}", granted.words());
            }
            assert!(wanted.words()[0].contains("fixes itself"), "{:?}", wanted.words());
            assert!(decide(&wanted, &config, &policy(&format!("connect: ['{real}:443']"))).is_ok(), "{host}");
            assert!(decide(&wanted, &config, &policy("connect: ['other:443']")).is_err(), "{host}");
            assert!(decide(&wanted, &config, &policy("connect: []")).is_err(), "{host}");
        }
    }
}

#[test]
fn every_capability_is_shown_in_words_and_json() {
    let wanted = WantedGrants {
        read: vec![template("{config.from}")],
        read_matching: vec![template("{config.all}")],
        fetch: vec![template("{config.remote}")],
        write: vec![template("{config.to}")],
        create_folders: Some(template("{config.folders}")),
        write_folders: Some(template("{config.keys}")),
        databases: WantedDatabases { read: Vec::new(), update: vec![template("{config.base}")] },
        connect: vec![template("{connection.host}:1")],
        http: vec![template("GET {connection.url}")],
        credentials: vec![
            serde_json::from_value(json!({"header": "X-Key", "value": "{config.key}", "for": "GET {connection.url}"}))
                .unwrap(),
        ],
        roots: vec![template("{connection.ca}")],
        state: true,
    };
    let config = json!({"from": "a", "all": "c/*", "to": "b", "folders": true, "base": "w", "keys": ["k"], "remote": "https://api/x.csv",
        "connection": {"host": "db", "url": "https://api/v1", "ca": "PEM"}});
    let all = ["db", "api"].map(str::to_owned).into();
    let policy = Policy::default_with(ConnectionHosts { all, private: ["db".to_owned()].into() });
    let granted = decide(&wanted, &config, &policy).unwrap();
    let json = granted.json();
    let nothing = Grants::default().json();
    let names: Vec<&str> = wanted.templates().into_iter().map(|(name, _)| name).collect();
    assert_eq!((wanted.words().len(), granted.words().len()), (names.len(), names.len()), "{:?}", granted.words());
    for name in names {
        assert_ne!(json[name], nothing[name], "{name}");
    }
    assert!(!json.to_string().contains("PEM"), "{json}");
    assert_eq!(Grants::default().words(), Vec::<String>::new());
    assert_eq!(granted.private_hosts.iter().collect::<Vec<_>>(), ["db"]);
}

#[test]
fn an_import_needs_its_capability() {
    let imports =
        ["osiris:driver/sql@0.2.0", "osiris:driver/tcp@0.2.0", "wasi:http/types@0.2.12", "osiris:driver/state@0.2.0"]
            .map(str::to_owned);
    let mut wanted = WantedGrants::default();
    assert_eq!(wanted.unrequested(&imports), Some(("connect", "osiris:driver/tcp@0.2.0")));
    wanted.connect = vec!["{config.host}:1".parse().unwrap()];
    assert_eq!(wanted.unrequested(&imports), Some(("http", "wasi:http/types@0.2.12")));
    wanted.http = vec!["GET {config.url}".parse().unwrap()];
    assert_eq!(wanted.unrequested(&imports), Some(("state", "osiris:driver/state@0.2.0")));
    wanted.state = true;
    assert_eq!(wanted.unrequested(&imports), None);
}

#[test]
fn a_duckdb_file_to_update_must_be_readable_and_named_by_the_author() {
    let wanted = WantedGrants {
        databases: WantedDatabases { read: Vec::new(), update: vec![template("{config.path}")] },
        ..WantedGrants::default()
    };
    let policy = |text: &str| crate::grants::policy::parse(text, "p", ConnectionHosts::default()).unwrap();
    let config = json!({"path": "out/w.duckdb"});
    assert!(decide(&wanted, &config, &policy("{}")).is_ok());
    for refused in ["read: [in]", "write: [in]"] {
        assert!(decide(&wanted, &config, &policy(refused)).is_err(), "{refused}");
    }
    let (base, none) = (Path::new("/base"), Map::new());
    let default = policy("{}");
    let request =
        GrantRequest { step: "s", config: config.as_object().unwrap(), written: &none, base, policy: &default };
    assert!(wanted.grant(&request).is_err(), "only the driver's default names it");
    for path in ["../w.duckdb", "/etc/w.duckdb", "osiris.lock", ".osiris_sessions/w"] {
        assert!(decide(&wanted, &json!({"path": path}), &default).is_err(), "{path}");
    }
}
