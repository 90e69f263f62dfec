//! The protocol against a real MariaDB, which this test starts and ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use database_client::Reveal;
use mysql_client::types::{Kind, Reading};
use mysql_client::{Client, Fields, LocalFiles, Login, SslMode, Stream, catalog};
use osiris_sdk::tcp::TlsOptions;
use osiris_sdk::{Error, ErrorKind, Result};

const PASSWORD: &str = "p@ss'w\"ord ü";

/// A socket without TLS.
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
}

/// MariaDB does not run as root by default.
const NOBODY: u32 = 65_534;

fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["-C", &folder.to_string_lossy(), program, "--no-defaults"]);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin:/usr/sbin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    if status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0")) {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

struct Server {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Server {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("osiris-mysql-client-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let data = format!("--datadir={}", folder.join("data").display());
        let made = command(&folder, "mariadb-install-db")
            .args([&data, "--auth-root-authentication-method=normal", "--skip-test-db"])
            .status();
        assert!(made.unwrap().success(), "MariaDB is not installed; run tools/setup-tests");
        std::fs::write(
            folder.join("first.sql"),
            "set names utf8mb4;\ncreate database shop;\ncreate user root@127.0.0.1;\ngrant all on *.* to root@127.0.0.1 with grant option;\n",
        )
        .unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = command(&folder, "mariadbd")
            .args([
                &data,
                "--bind-address=127.0.0.1",
                &format!("--port={port}"),
                &format!("--socket={}", folder.join("socket").display()),
                &format!("--pid-file={}", folder.join("pid").display()),
                &format!("--init-file={}", folder.join("first.sql").display()),
                "--plugin-load-add=auth_ed25519",
                "--max-allowed-packet=64M",
                "--skip-name-resolve",
                "--innodb-log-file-size=256M",
            ])
            .spawn()
            .unwrap();
        let server = Self { folder, port, process };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "MariaDB does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn try_login(&self, login: &Login) -> Result<Client<Plain>> {
        self.log_in(login, LocalFiles::Given)
    }

    fn log_in(&self, login: &Login, files: LocalFiles) -> Result<Client<Plain>> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Client::start(Plain(socket), login, files)?;
        client.prepare_session()?;
        Ok(client)
    }

    fn root(&self) -> Client<Plain> {
        self.try_login(&login("root", None)).unwrap()
    }
}

fn login(user: &str, password: Option<&str>) -> Login {
    Login {
        user: user.to_owned(),
        password: password.map(str::to_owned),
        database: Some("shop".to_owned()),
        ssl_mode: SslMode::Disable,
        ca: None,
        reveal: Reveal::Local,
    }
}

fn kind<T>(result: Result<T>) -> String {
    format!("{:?}", result.err().map(|error| error.kind))
}

#[test]
fn a_real_server_understands_this_client() {
    let server = Server::start();
    logins(&server);
    statements(&server);
    types(&server);
    large_values(&server);
    local_data(&server);
    what_the_catalog_holds(&server);
    let mut client = server.root();
    let mut process = server;
    process.process.kill().unwrap();
    process.process.wait().unwrap();
    assert!(kind(client.execute("select 1")).contains("Transient"));
    // `drop` ends the rest.
    process.process = Command::new("true").spawn().unwrap();
}

fn logins(server: &Server) {
    let mut root = server.root();
    let quoted = mysql_client::sql::quote_text(PASSWORD);
    root.execute(&format!("set @p = {quoted}")).unwrap();
    for (user, plugin) in [("native", "mysql_native_password"), ("signing", "ed25519")] {
        root.execute(&format!(
            "execute immediate concat('create user {user}@127.0.0.1 identified via {plugin} using password(', quote(@p), ')')"
        ))
        .unwrap();
        root.execute(&format!("grant select on shop.* to {user}@127.0.0.1")).unwrap();
        let mut client = server.try_login(&login(user, Some(PASSWORD))).unwrap();
        assert_eq!(client.value("select user()").unwrap().unwrap(), format!("{user}@127.0.0.1"));
        assert!(kind(server.try_login(&login(user, Some("wrong")))).contains("Auth"));
        assert!(kind(server.try_login(&login(user, None))).contains("Auth"));
        let elsewhere = Login { database: Some("mysql".to_owned()), ..login(user, Some(PASSWORD)) };
        let refused = server.try_login(&elsewhere).err().unwrap();
        assert!(matches!(refused.kind, ErrorKind::Denied), "{:?}: {refused}", refused.kind);
        assert!(kind(client.execute("create table t (a int)")).contains("Denied"));
    }
    let nowhere = Login { database: Some("nowhere".to_owned()), ..login("root", None) };
    assert!(kind(server.try_login(&nowhere)).contains("NotFound"));
    let private = Login { ssl_mode: SslMode::Require, ..login("root", None) };
    let refused = server.try_login(&private).err().unwrap();
    assert!(matches!(refused.kind, ErrorKind::Auth) && refused.message.contains("TLS"), "{refused}");
}

fn statements(server: &Server) {
    let mut client = server.root();
    assert!(client.is_mariadb() && client.version().starts_with("10."), "{}", client.version());
    for (sql, expected) in [
        ("selec", "Config"),
        ("select * from nothing", "NotFound"),
        ("select nothing from information_schema.tables", "NotFound"),
        ("set session nothing = 1", "Config"),
    ] {
        assert!(kind(client.query(sql)).contains(expected), "{sql}: {}", kind(client.query(sql)));
    }
    assert!(kind(client.prepare("select ?")).contains("Config"));
    client.execute("create table numbers (a int primary key)").unwrap();
    assert_eq!(client.execute("insert into numbers values (1), (2), (3)").unwrap().rows, 3);
    assert!(kind(client.execute("insert into numbers values (3)")).contains("Data"));
    let statement = client.prepare("select a, null from numbers order by a").unwrap();
    for _ in 0..2 {
        client.open(&statement).unwrap();
        let mut seen = Vec::new();
        while let Some(row) = client.next_row().unwrap() {
            seen.push(row[1]);
        }
        assert_eq!(seen, [1, 2, 3]);
    }
    client.execute("alter table numbers modify a bigint").unwrap();
    // The server may prepare the statement anew; it must not send different bytes under the old columns.
    assert!(client.open(&statement).is_err());
}

fn types(server: &Server) {
    let mut client = server.root();
    client
        .execute(
            "create table types (a tinyint(1), b tinyint unsigned, c mediumint, d bigint unsigned, e decimal(38,4), \
             f decimal(65,30), g float, h bit(9), i varchar(9) character set latin1, j varbinary(9), k json, l uuid, \
             m year, n timestamp(6) null, o datetime, p time, q enum('x'), r point, s inet6, t longtext)",
        )
        .unwrap();
    let kinds: Vec<Kind> = client
        .prepare("select * from types")
        .unwrap()
        .columns
        .iter()
        .map(|column| column.kind(Reading::default()))
        .collect();
    assert_eq!(
        kinds,
        [
            Kind::Bool,
            Kind::U8,
            Kind::I32,
            Kind::U64,
            Kind::Decimal { precision: 38, scale: 4 },
            Kind::Text,
            Kind::F32,
            Kind::Bit(9),
            Kind::Text,
            Kind::Bytes,
            Kind::Json,
            Kind::Uuid,
            Kind::Year,
            Kind::Timestamp,
            Kind::DateTime,
            Kind::Time,
            Kind::Text,
            Kind::Geometry,
            Kind::Text,
            Kind::Text,
        ]
    );
}

fn large_values(server: &Server) {
    let mut client = server.root();
    client.execute("create table large (a int, b longblob)").unwrap();
    // Two packets to the server, and two back.
    let mut sql = b"insert into large values (7, x'".to_vec();
    sql.resize(sql.len() + 36_000_000, b'5');
    sql.extend_from_slice(b"')");
    client.execute_bytes(&sql).unwrap();
    let statement = client.prepare("select b, a from large").unwrap();
    client.open(&statement).unwrap();
    let row = client.next_row().unwrap().unwrap();
    let mut fields = Fields(&row[1..]);
    let value = fields.run().unwrap();
    assert!(value.len() == 18_000_000 && value.iter().all(|byte| *byte == 0x55));
    assert_eq!(fields.0, [7, 0, 0, 0]);
    assert!(client.next_row().unwrap().is_none());
    let rows = client.query("select repeat('ü', 9000000), 'after'").unwrap();
    assert_eq!((rows[0][0].as_ref().unwrap().len(), rows[0][1].as_deref()), (18_000_000, Some("after")));
}

fn local_data(server: &Server) {
    let mut client = server.root();
    client.execute("create table loaded (a int, b text)").unwrap();
    let mut left = 100_000;
    let done = client
        .load("load data local infile 'x' into table loaded", |bytes| {
            left -= 1000;
            (left..left + 1000).for_each(|row| bytes.extend_from_slice(format!("{row}\tü{row}\n").as_bytes()));
            Ok(left > 0)
        })
        .unwrap();
    assert_eq!((done.rows, done.warnings), (100_000, 0));
    assert_eq!(client.value("select count(distinct a) from loaded").unwrap().unwrap(), "100000");
    let done = client.load("load data local infile 'x' into table loaded", |bytes| {
        let first = bytes.is_empty();
        bytes.extend_from_slice(b"no number\tx\n");
        Ok(first)
    });
    assert!(done.unwrap().warnings > 0);
    // A statement that requests data unexpectedly gets none.
    assert!(client.execute("load data local infile '/etc/hostname' into table loaded").is_err());
    let mut shut = server.log_in(&login("root", None), LocalFiles::Refused).unwrap();
    assert!(shut.load("load data local infile 'x' into table loaded", |_| Ok(false)).is_err());
}

fn what_the_catalog_holds(server: &Server) {
    let mut client = server.root();
    client.execute("create table keyed (b int, a varchar(9) not null, j json, primary key (a, b))").unwrap();
    let tables = catalog::tables(&mut client, Some("shop")).unwrap();
    let keyed = tables.iter().find(|table| table.name == "keyed").unwrap();
    assert_eq!(keyed.primary_key, ["a", "b"]);
    let columns: Vec<_> = keyed.columns.iter().map(|column| (column.duckdb_type.as_str(), column.nullable)).collect();
    assert_eq!(columns, [("INTEGER", false), ("VARCHAR", false), ("JSON", true)]);
    assert!(catalog::tables(&mut client, None).unwrap().iter().all(|table| table.schema.as_deref() == Some("shop")));
}
