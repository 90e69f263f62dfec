//! The client's answers that prove knowledge of a password, for each authentication plugin.
//!
//! `mysql_native_password` and `caching_sha2_password` follow MySQL's internals documentation, `client_ed25519`
//! MariaDB's: <https://mariadb.com/kb/en/authentication-plugin-ed25519/>.

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use osiris_sdk::{Error, ErrorKind, Result};
use rsa::pkcs8::DecodePublicKey;
use rsa::{Oaep, RsaPublicKey};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

/// The authentication plugins that this client supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    Native,
    CachingSha2,
    Ed25519,
    Clear,
}

impl Plugin {
    /// # Errors
    /// `auth` for a plugin that this client lacks.
    pub fn find(name: &str) -> Result<Self> {
        match name {
            "mysql_native_password" => Ok(Plugin::Native),
            "caching_sha2_password" => Ok(Plugin::CachingSha2),
            "client_ed25519" => Ok(Plugin::Ed25519),
            "mysql_clear_password" => Ok(Plugin::Clear),
            other => Err(Error::new(
                ErrorKind::Auth,
                format!(
                    "the server wants this user to log in by `{other}`; this driver knows `mysql_native_password`, \
                     `caching_sha2_password`, `client_ed25519` (MariaDB's ed25519) and `mysql_clear_password`"
                ),
            )),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Plugin::Native => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Ed25519 => "client_ed25519",
            Plugin::Clear => "mysql_clear_password",
        }
    }

    /// The length of a server's nonce in bytes; a NUL may follow it, or be its last byte.
    pub fn nonce_length(self) -> usize {
        match self {
            Plugin::Ed25519 => 32,
            Plugin::Native | Plugin::CachingSha2 | Plugin::Clear => 20,
        }
    }

    /// The first answer to the server's random `nonce`.
    ///
    /// # Errors
    /// `auth` if the password would have to be revealed, and `may_be_plain` forbids it.
    pub fn answer(self, password: &str, nonce: &[u8], may_be_plain: bool) -> Result<Vec<u8>> {
        match self {
            Plugin::Clear if !may_be_plain => Err(unverified("the password as plain text")),
            Plugin::Clear => Ok(terminated(password)?),
            Plugin::Ed25519 => Ok(ed25519(password, nonce)),
            _ if password.is_empty() => Ok(Vec::new()),
            Plugin::Native => Ok(native(password, nonce)),
            Plugin::CachingSha2 => Ok(caching_sha2(password, nonce)),
        }
    }
}

/// The error for a server that wants to see a password and has not proved its identity.
pub(crate) fn unverified(wanted: &str) -> Error {
    Error::new(
        ErrorKind::Auth,
        format!(
            "the server asks for {wanted}, and it has not proved who it is: somebody in between would have it; set \
             `ssl_mode: verify-full` with the server's `ca`, or `unverified_password: true` for a network that you trust"
        ),
    )
}

/// A password that is sent as a whole, terminated by a NUL, which it therefore must not contain.
///
/// # Errors
/// `config` for a password that would be cut off.
pub(crate) fn terminated(password: &str) -> Result<Vec<u8>> {
    if password.contains('\0') {
        return Err(Error::config("the password contains a NUL character, where the server would cut it off"));
    }
    Ok([password.as_bytes(), &[0]].concat())
}

/// SHA1(password) xor SHA1(nonce, SHA1(SHA1(password))).
fn native(password: &str, nonce: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// SHA256(password) xor SHA256(SHA256(SHA256(password)), nonce).
fn caching_sha2(password: &str, nonce: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let mask = Sha256::new().chain_update(Sha256::digest(once)).chain_update(nonce).finalize();
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// An Ed25519 signature of the nonce, whose secret is SHA512(password).
fn ed25519(password: &str, nonce: &[u8]) -> Vec<u8> {
    let secret = ExpandedSecretKey::from_bytes(&Sha512::digest(password).into());
    let public = VerifyingKey::from(&secret);
    raw_sign::<Sha512>(&secret, nonce, &public).to_bytes().to_vec()
}

/// The password for a server whose public key is known: masked with the nonce and encrypted with RSA and OAEP.
///
/// # Errors
/// `auth` for an invalid key.
pub(crate) fn rsa_password(password: &str, nonce: &[u8], key: &str) -> Result<Vec<u8>> {
    let wrong = |what: String| Error::new(ErrorKind::Auth, format!("the server's public key cannot be used: {what}"));
    let key = RsaPublicKey::from_public_key_pem(key.trim()).map_err(|error| wrong(error.to_string()))?;
    if nonce.is_empty() {
        return Err(wrong("it came without a nonce".to_owned()));
    }
    let clear = terminated(password)?;
    let masked: Vec<u8> = clear.into_iter().zip(nonce.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    key.encrypt(&mut Random, Oaep::new::<Sha1>(), &masked).map_err(|error| wrong(error.to_string()))
}

/// The host's random numbers.
struct Random;

impl rsa::rand_core::CryptoRng for Random {}

impl rsa::rand_core::RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        rsa::rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rsa::rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        // A padding that is not random would reveal the password, so this cannot continue.
        if let Err(error) = self.try_fill_bytes(bytes) {
            panic!("the host gives no random bytes: {error}");
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        getrandom::fill(bytes).map_err(|error| {
            let code = std::num::NonZeroU32::new(rsa::rand_core::Error::CUSTOM_START);
            let _ = error;
            rsa::rand_core::Error::from(code.unwrap_or(std::num::NonZeroU32::MIN))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ed25519_dalek::Signature;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A server checks that SHA256(answer xor SHA256(stored, nonce)) is `stored`, which is SHA256(SHA256(password)).
    #[test]
    fn a_server_that_keeps_only_digests_accepts_the_answers() {
        let nonce = b"01234567890123456789";
        let stored = Sha256::digest(Sha256::digest("päss"));
        let mask = Sha256::new().chain_update(stored).chain_update(nonce).finalize();
        let answer = Plugin::CachingSha2.answer("päss", nonce, false).unwrap();
        let once: Vec<u8> = answer.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(Sha256::digest(once), stored);

        let stored = Sha1::digest(Sha1::digest("päss"));
        let mask = Sha1::new().chain_update(nonce).chain_update(stored).finalize();
        let answer = Plugin::Native.answer("päss", nonce, false).unwrap();
        let once: Vec<u8> = answer.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(Sha1::digest(once), stored);
    }

    /// The key that MariaDB's documentation gives for the password `secret`: ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY.
    #[test]
    fn ed25519_signs_by_the_key_that_mariadb_stores() {
        let secret = ExpandedSecretKey::from_bytes(&Sha512::digest("secret").into());
        let public = VerifyingKey::from(&secret);
        assert_eq!(
            hex(&public.to_bytes()),
            "64881444452 0e4f56043a2ec9215e63be7992d2d270bc6dee873e36164786096".replace(' ', "")
        );
        let signature = Plugin::Ed25519.answer("secret", &[7; 32], false).unwrap();
        public.verify_strict(&[7; 32], &Signature::from_slice(&signature).unwrap()).unwrap();
    }

    #[test]
    fn a_password_is_revealed_only_if_allowed() {
        assert!(Plugin::Clear.answer("p", b"", false).unwrap_err().message.contains("`unverified_password: true`"));
        assert_eq!(Plugin::Clear.answer("p", b"", true).unwrap(), b"p\0");
        assert!(Plugin::Clear.answer("p\0q", b"", true).unwrap_err().message.contains("NUL"));
        assert!(rsa_password("p\0q", b"nonce", "nonsense").is_err());
        assert!(Plugin::find("dialog").unwrap_err().message.contains("`dialog`"));
        for plugin in [Plugin::Native, Plugin::CachingSha2] {
            assert!(plugin.answer("", b"nonce", false).unwrap().is_empty());
            assert_eq!(Plugin::find(plugin.name()).unwrap(), plugin);
        }
    }

    #[test]
    fn the_servers_private_key_decrypts_what_its_public_key_encrypted() {
        use rsa::pkcs8::{EncodePublicKey, LineEnding};
        let private = rsa::RsaPrivateKey::new(&mut Random, 1024).unwrap();
        let public = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let nonce = b"abcdefghijklmnopqrst";
        let closed = rsa_password("a long password of many words", nonce, &public).unwrap();
        let masked = private.decrypt(Oaep::new::<Sha1>(), &closed).unwrap();
        let opened: Vec<u8> = masked.iter().zip(nonce.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(opened, b"a long password of many words\0");
        assert!(rsa_password("p", nonce, "nonsense").is_err());
    }
}
