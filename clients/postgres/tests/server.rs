//! The protocol against a real server, which this test starts and ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use database_client::Reveal;
use osiris_sdk::tcp::TlsOptions;
use osiris_sdk::{Error, ErrorKind, Result};
use postgres_client::sql::quote_text;
use postgres_client::types::{Kind, Numeric, Types};
use postgres_client::{Client, Login, SslMode, Stream, catalog};

const PASSWORD: &str = "p@ss'w\"ord ü";

/// A socket without TLS.
#[derive(Debug)]
struct Plain(TcpStream);

impl Read for Plain {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Plain {
    fn start_tls(&mut self, _: &TlsOptions) -> Result<()> {
        Err(Error::internal("this stream has no TLS"))
    }

    fn server_end_point(&self) -> Option<Vec<u8>> {
        None
    }
}

struct Server {
    folder: PathBuf,
    port: u16,
    process: Child,
}

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

fn command(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Server {
    fn start() -> Self {
        let mut programs: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.map(|entry| entry.unwrap().path().join("bin")).collect())
            .unwrap_or_default();
        programs.sort();
        let programs = programs.pop().unwrap_or_else(|| panic!("PostgreSQL is not installed; run tools/setup-tests"));
        let folder = std::env::temp_dir().join(format!("osiris-postgres-client-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        if is_root() {
            for path in [&folder, &folder.join("password")] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let made = command(&folder, &programs.join("initdb"))
            .args(["--pgdata", "data", "--username", "ada", "--pwfile", "password", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8", "--auth-local", "reject"])
            .args(["--auth-host", "scram-sha-256"])
            .status();
        assert!(made.unwrap().success());
        let rules = "host all scram 127.0.0.1/32 scram-sha-256\nhost all digest 127.0.0.1/32 md5\n\
                     host all plain 127.0.0.1/32 password\nhost all secret 127.0.0.1/32 reject\n\
                     host all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(folder.join("data/pg_hba.conf"), rules).unwrap();
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let process = command(&folder, &programs.join("postgres"))
            .args([
                "-D",
                "data",
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=off",
            ])
            .arg("-c")
            .arg(format!("port={port}"))
            .spawn()
            .unwrap();
        let server = Self { folder, port, process };
        let started = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            server.connect("ada", Some(PASSWORD), "postgres").is_ok()
        });
        assert!(started, "the server did not start");
        server
    }

    fn stream(&self) -> Plain {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Plain(socket)
    }

    fn login(&self, user: &str, password: Option<&str>, database: &str, ssl_mode: SslMode) -> Result<Client<Plain>> {
        let login = Login {
            user: user.to_owned(),
            password: password.map(str::to_owned),
            database: Some(database.to_owned()),
            ssl_mode,
            ca: None,
            reveal: Reveal::Local,
        };
        Client::start(self.stream(), &login)
    }

    fn connect(&self, user: &str, password: Option<&str>, database: &str) -> Result<Client<Plain>> {
        self.login(user, password, database, SslMode::Prefer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT would let it shut down cleanly, but its data is removed anyway.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Its children end once they notice, and may still have open files.
        for _ in 0..100 {
            if std::fs::remove_dir_all(&self.folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A single test, so that one server is enough and is certain to be ended.
#[test]
fn the_protocol_works_against_a_real_server() {
    static SERVER: OnceLock<()> = OnceLock::new();
    SERVER.set(()).unwrap();
    let server = Server::start();
    let mut client = server.connect("ada", Some(PASSWORD), "postgres").unwrap();
    assert!(client.version().split('.').next().unwrap().parse::<u32>().unwrap() >= 13);
    logins(&server, &mut client);
    statements(&mut client);
    types(&mut client);
    copies(&mut client);
    catalogs(&mut client);
}

fn logins(server: &Server, client: &mut Client<Plain>) {
    let password = quote_text(PASSWORD);
    client.execute(&format!("create user scram password {password}; create user secret password {password}")).unwrap();
    client.execute(&format!("set password_encryption = md5; create user digest password {password}")).unwrap();
    client.execute(&format!("create user plain password {password}")).unwrap();
    for user in ["scram", "digest"] {
        assert!(server.connect(user, Some(PASSWORD), "postgres").is_ok(), "{user}");
        let refused = server.connect(user, Some("wrong"), "postgres").err().unwrap();
        assert!(matches!(refused.kind, ErrorKind::Auth) && refused.message.contains("28P01"), "{refused}");
        let refused = server.connect(user, None, "postgres").err().unwrap();
        assert!(matches!(refused.kind, ErrorKind::Auth) && refused.message.contains("`password`"), "{refused}");
    }
    let refused = server.connect("plain", Some(PASSWORD), "postgres").err().unwrap();
    assert!(refused.message.contains("plain text"), "a password must not be given away: {refused}");
    let refused = server.connect("secret", Some(PASSWORD), "postgres").err().unwrap();
    assert!(matches!(refused.kind, ErrorKind::Auth) && refused.message.contains("28000"), "{refused}");
    let refused = server.connect("ada", Some(PASSWORD), "nowhere").err().unwrap();
    assert!(matches!(refused.kind, ErrorKind::NotFound) && refused.message.contains("nowhere"), "{refused}");
    for mode in [SslMode::Require, SslMode::VerifyFull] {
        let refused = server.login("ada", Some(PASSWORD), "postgres", mode).err().unwrap();
        assert!(refused.message.contains("offers no TLS") && refused.message.contains(&mode.to_string()), "{refused}");
    }
    assert!(server.login("ada", Some(PASSWORD), "postgres", SslMode::Disable).is_ok());
}

fn statements(client: &mut Client<Plain>) {
    let rows = client.query_with("select $1::int + 1, $2, null", &[Some("41"), Some("ü'\\")]).unwrap();
    assert_eq!(rows, [[Some("42".to_owned()), Some("ü'\\".to_owned()), None]]);
    assert_eq!(client.value(&format!("select {}", quote_text("a'b\\c"))).unwrap().as_deref(), Some("a'b\\c"));
    assert_eq!(client.execute("create table t (a int); insert into t select generate_series(1, 5)").unwrap(), 5);
    for (sql, kind) in [
        ("select * from missing", "NotFound"),
        ("select missing from t", "NotFound"),
        ("selct 1", "Config"),
        ("select 1 / 0", "Data"),
        ("insert into t values ('x')", "Data"),
        ("set statement_timeout = 10; select pg_sleep(5)", "Timeout"),
    ] {
        let refused = client.query(sql).unwrap_err();
        assert!(format!("{:?}", refused.kind).contains(kind), "{sql}: {refused:?}");
        // The session can continue.
        client.execute("set statement_timeout = 0").unwrap();
        assert!(client.describe("select * from missing").unwrap().is_err());
        assert_eq!(client.value("select 1").unwrap().as_deref(), Some("1"));
    }
    let refused = client.execute("begin read only; delete from t").unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::Denied), "{refused:?}");
    client.execute("rollback").unwrap();
}

fn types(client: &mut Client<Plain>) {
    client
        .execute(
            "create type mood as enum ('sad', 'ok'); create domain price as numeric(10, 2); create domain dear as price; \
             create type pair as (a int, b text)",
        )
        .unwrap();
    let sql = "select 1::int4, 'ok'::mood::text, null::mood, null::dear, null::price[], null::pair, null::mood[], \
               null::numeric, null::numeric(40, 2), null::int4range, null::pair[], null::name, null::int2vector";
    let described = client.describe(sql).unwrap().unwrap();
    let types = Types::read(client, described.iter().map(|column| column.type_oid)).unwrap();
    let mapped: Vec<(String, Option<&str>)> = described
        .iter()
        .map(|column| types.mapping(column.type_oid, column.modifier, 1, Numeric::Text))
        .map(|mapping| (mapping.kind.duckdb(), mapping.cast))
        .collect();
    let expected = [
        ("INTEGER", None),
        ("VARCHAR", None),
        ("VARCHAR", None),
        ("DECIMAL(10,2)", None),
        ("DECIMAL(10,2)[]", None),
        ("VARCHAR", Some("text")),
        ("VARCHAR[]", None),
        ("VARCHAR", None),
        ("VARCHAR", None),
        ("VARCHAR", Some("text")),
        ("VARCHAR[]", Some("text[]")),
        ("VARCHAR", None),
        ("SMALLINT[]", None),
    ];
    assert_eq!(mapped, expected.map(|(kind, cast)| (kind.to_owned(), cast)));
    let double = types.mapping(1700, -1, 1, Numeric::Double);
    assert_eq!(double.kind, Kind::NumericDouble);
}

fn copies(client: &mut Client<Plain>) {
    let mut rows =
        client.copy_out("copy (select 7::int4, null::text, repeat('ü', 300000)) to stdout (format binary)").unwrap();
    let row = rows.next_row(3).unwrap().unwrap();
    assert_eq!(row[..12], [0, 0, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(row.len(), 16 + 600_000);
    assert!(rows.next_row(3).unwrap().is_none());
    let mut none = client.copy_out("copy (select 1 where false) to stdout (format binary)").unwrap();
    assert!(none.next_row(1).unwrap().is_none());
    let mut many = client.copy_out("copy (select generate_series(1, 100000)) to stdout (format binary)").unwrap();
    let mut sum = 0_u64;
    while let Some(row) = many.next_row(1).unwrap() {
        sum += u64::from(u32::from_be_bytes(row[4..].try_into().unwrap()));
    }
    assert_eq!(sum, 5_000_050_000);
    let mut broken =
        client.copy_out("copy (select 10 / (3 - generate_series(1, 5))) to stdout (format binary)").unwrap();
    let refused = (0..9).find_map(|_| broken.next_row(1).err()).unwrap();
    assert!(refused.message.contains("division by zero"), "{refused}");

    client.execute("create table back (a int, b text)").unwrap();
    let mut copy = client.copy_in("copy back from stdin (format binary)").unwrap();
    for row in 0..3_u8 {
        copy.send(|body| {
            body.extend_from_slice(&[0, 2, 0, 0, 0, 4, 0, 0, 0, row, 0, 0, 0, 1, b'x']);
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(copy.finish().unwrap(), 3);
    assert_eq!(
        client.value("select string_agg(a || b, ',' order by a) from back").unwrap().as_deref(),
        Some("0x,1x,2x")
    );
    let mut copy = client.copy_in("copy back from stdin (format binary)").unwrap();
    copy.send(|body| {
        body.extend_from_slice(&[0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 1, 0xff]);
        Ok(())
    })
    .unwrap();
    let refused = copy.finish().unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::Data) && refused.message.contains("column b"), "{refused:?}");
    assert_eq!(client.value("select count(*) from back").unwrap().as_deref(), Some("3"));
}

fn catalogs(client: &mut Client<Plain>) {
    client
        .execute(
            "create schema shop; create table shop.\"Odd\" (b text not null, a int, grid numeric(5, 1)[][], \
             primary key (b, a)); insert into shop.\"Odd\" values ('x', 1), ('y', 2); analyze shop.\"Odd\"; \
             create view shop.seen as select a from shop.\"Odd\"",
        )
        .unwrap();
    let tables = catalog::discover(client).unwrap();
    let odd = tables.iter().find(|table| table.name == "Odd").unwrap();
    assert_eq!(odd.schema.as_deref(), Some("shop"));
    assert_eq!(odd.primary_key, ["b", "a"]);
    assert_eq!(odd.estimated_rows, Some(2));
    let columns: Vec<_> = odd
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.source_type.as_str(), column.duckdb_type.as_str(), column.nullable))
        .collect();
    assert_eq!(
        columns,
        [
            ("b", "text", "VARCHAR", false),
            ("a", "integer", "INTEGER", false),
            ("grid", "numeric(5,1)[]", "DECIMAL(5,1)[][]", true)
        ]
    );
    let view = tables.iter().find(|table| table.name == "seen").unwrap();
    assert_eq!((view.estimated_rows, view.primary_key.len()), (None, 0));
}
