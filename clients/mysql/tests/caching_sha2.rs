//! `caching_sha2_password` against a stand-in for MySQL 8, because MariaDB's servers do not have it. The stand-in
//! greets, checks the password as MySQL documents it, and sends its RSA key. It does not support SQL.
#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use database_client::Reveal;
use mysql_client::{Client, LocalFiles, Login, SslMode, Stream};
use osiris_sdk::Result;
use osiris_sdk::tcp::TlsOptions;
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use rsa::{Oaep, RsaPrivateKey};
use sha2::{Digest, Sha256};

const PASSWORD: &str = "correct horse ü";
const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";

/// The server's key, generated for this run.
static KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .stderr(Stdio::null())
        .output();
    RsaPrivateKey::from_pkcs8_pem(&String::from_utf8(made.unwrap().stdout).unwrap()).unwrap()
});

/// A socket that claims to be encrypted once TLS is requested.
struct Socket(TcpStream);

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn start_tls(&mut self, _: &TlsOptions) -> Result<()> {
        Ok(())
    }
}

fn send(socket: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let length = (payload.len() as u32).to_le_bytes();
    socket.write_all(&[&length[..3], &[sequence], payload].concat()).unwrap();
}

fn receive(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 4];
    socket.read_exact(&mut head).unwrap();
    let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    socket.read_exact(&mut payload).unwrap();
    payload
}

/// Whether the server's cache has the password, and whether the login is switched to the plugin or starts with it.
#[derive(Clone, Copy)]
struct Behaviour {
    cached: bool,
    tls: bool,
    switched: bool,
}

/// Lets one client log in; returns how its password was proved.
fn serve(listener: &TcpListener, behaviour: Behaviour) -> &'static str {
    let (mut socket, _) = listener.accept().unwrap();
    let capabilities: u32 = 1 | 1 << 9 | 1 << 15 | 1 << 19 | 1 << 21 | 1 << 24 | u32::from(behaviour.tls) << 11;
    let [a, b, c, d] = capabilities.to_le_bytes();
    let plugin: &[u8] = if behaviour.switched { b"mysql_native_password\0" } else { b"caching_sha2_password\0" };
    let greeting = [
        &b"\x0a8.0.36\0\x01\0\0\0"[..],
        &NONCE[..8],
        &[0, a, b, 45, 2, 0, c, d, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &NONCE[8..],
        &[0],
        plugin,
    ];
    send(&mut socket, 0, &greeting.concat());
    let mut sequence = 2;
    if behaviour.tls {
        assert_eq!(receive(&mut socket).len(), 32);
        sequence = 3;
    }
    let response = receive(&mut socket);
    let answer = if behaviour.switched {
        send(&mut socket, sequence, &[b"\xfecaching_sha2_password\0", &NONCE[..], &[0]].concat());
        sequence += 2;
        receive(&mut socket)
    } else {
        // Flags, a length, a character set, zeros, and the user with its NUL come before the answer.
        let user = response[32..].iter().position(|byte| *byte == 0).unwrap();
        response[32 + user + 2..32 + user + 2 + usize::from(response[32 + user + 1])].to_vec()
    };
    let stored = Sha256::digest(Sha256::digest(PASSWORD));
    let mask = Sha256::new().chain_update(stored).chain_update(NONCE).finalize();
    let once: Vec<u8> = answer.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let mut way = "cache";
    let mut proven = Sha256::digest(once) == stored;
    if behaviour.cached && proven {
        send(&mut socket, sequence, &[1, 3]);
        sequence += 1;
    } else {
        send(&mut socket, sequence, &[1, 4]);
        let reply = receive(&mut socket);
        sequence += 2;
        if behaviour.tls {
            way = "tls";
            proven = reply == [PASSWORD.as_bytes(), &[0]].concat();
        } else {
            way = "rsa";
            assert_eq!(reply, [2]);
            let public = KEY.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
            send(&mut socket, sequence, &[&[1], public.as_bytes()].concat());
            let masked = KEY.decrypt(Oaep::new::<sha1::Sha1>(), &receive(&mut socket)).unwrap();
            sequence += 2;
            let clear: Vec<u8> = masked.iter().zip(NONCE.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            proven = clear == [PASSWORD.as_bytes(), &[0]].concat();
        }
    }
    if proven {
        send(&mut socket, sequence, &[0, 0, 0, 2, 0, 0, 0]);
    } else {
        send(&mut socket, sequence, b"\xff\x15\x04#28000Access denied");
    }
    way
}

/// Logs in; returns how the password was proved to the server, or `None` if the client aborted.
fn log_in(behaviour: Behaviour, password: &str, reveal: Reveal) -> (Result<()>, Option<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || serve(&listener, behaviour));
    let login = Login {
        user: "ada".to_owned(),
        password: Some(password.to_owned()),
        database: None,
        ssl_mode: if behaviour.tls { SslMode::Require } else { SslMode::Disable },
        ca: None,
        reveal,
    };
    let client = Client::start(Socket(TcpStream::connect(address).unwrap()), &login, LocalFiles::Refused);
    (client.map(|client| assert_eq!(client.version(), "8.0.36")), server.join().ok())
}

#[test]
fn every_way_of_proving_the_password_is_used() {
    for switched in [false, true] {
        for (cached, tls, way) in
            [(true, false, "cache"), (true, true, "cache"), (false, true, "tls"), (false, false, "rsa")]
        {
            for reveal in [Reveal::Local, Reveal::Anyone] {
                let (client, taken) = log_in(Behaviour { cached, tls, switched }, PASSWORD, reveal);
                client.unwrap();
                assert_eq!(taken, Some(way));
            }
            let (refused, _) = log_in(Behaviour { cached, tls, switched }, "wrong", Reveal::Local);
            assert!(refused.unwrap_err().message.contains("Access denied"));
        }
    }
}

#[test]
fn a_server_that_did_not_prove_its_identity_gets_no_readable_password() {
    for (switched, tls) in [(false, false), (false, true), (true, false), (true, true)] {
        let (client, taken) = log_in(Behaviour { cached: false, tls, switched }, PASSWORD, Reveal::Verified);
        assert!(client.unwrap_err().message.contains("has not proved who it is"));
        assert_eq!(taken, None, "the client ends before the server has heard more");
        // The control: a login that reveals nothing succeeds.
        let (client, taken) = log_in(Behaviour { cached: true, tls, switched }, PASSWORD, Reveal::Verified);
        client.unwrap();
        assert_eq!(taken, Some("cache"));
    }
}
