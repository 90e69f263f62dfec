//! TLS for a step's connections: which roots are trusted, and the digest of a certificate.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::protocol::NetworkGrant;

/// What this step trusts, loaded before the process is confined.
#[derive(Debug, Clone)]
pub struct Trust {
    machine: Arc<RootCertStore>,
    /// The configuration for HTTP.
    http: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the machine's trusted roots, for a step that may use the network.
    ///
    /// # Errors
    /// If the roots named by the step's config are not PEM.
    pub fn load(network: &NetworkGrant) -> anyhow::Result<Self> {
        let machine =
            if network.is_empty() { RootCertStore::empty() } else { machine_roots(network.roots_file.as_deref()) };
        let machine = Arc::new(machine);
        let named = network.roots.join("\n");
        let http = if named.trim().is_empty() { Arc::clone(&machine) } else { Arc::new(roots_in(&named)?) };
        Ok(Self { machine, http: verifying(http)? })
    }

    pub fn http(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.http)
    }

    /// The configuration for one TCP connection: full verification against the roots in `ca` or, without `ca`, the
    /// machine's; or no verification.
    ///
    /// # Errors
    /// If `ca` is not PEM.
    pub fn tcp(&self, verify: bool, ca: Option<&str>) -> anyhow::Result<Arc<ClientConfig>> {
        if !verify {
            let config = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(Unverified));
            return Ok(Arc::new(config.with_no_client_auth()));
        }
        match ca {
            None => verifying(Arc::clone(&self.machine)),
            Some(text) => verifying(Arc::new(roots_in(text)?)),
        }
    }
}

/// The system's roots, or those in the file that the operator named. Roots that cannot be read are skipped; if none
/// can, no certificate is trusted.
fn machine_roots(file: Option<&Path>) -> RootCertStore {
    let found = match file {
        Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

fn roots_in(text: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.context("the `ca` is not PEM text")?;
    ensure!(!certificates.is_empty(), "the `ca` has no certificate in PEM form");
    // A bundle may contain certificates that rustls cannot use, as the machine's own does.
    let (usable, _) = roots.add_parsable_certificates(certificates);
    ensure!(usable > 0, "the `ca` has no usable certificate");
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

fn builder() -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().context("cannot set TLS up")
}

fn verifying(roots: Arc<RootCertStore>) -> anyhow::Result<Arc<ClientConfig>> {
    Ok(Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth()))
}

/// Accepts any certificate, as `verify.none` requests; the handshake's own signatures are still checked.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The TLS error inside an I/O error; `None` if the error is not from TLS.
pub fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// Whether the other side could not prove its identity.
pub fn is_certificate_error(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
}

/// The digest of a certificate that binds a login to its channel: `tls-server-end-point` of RFC 5929. SHA-256, or the
/// hash of the certificate's own signature if that is stronger.
pub fn server_end_point(certificate: &[u8]) -> Vec<u8> {
    match signature_hash(certificate) {
        Some(Hash::Sha384) => Sha384::digest(certificate).to_vec(),
        Some(Hash::Sha512) => Sha512::digest(certificate).to_vec(),
        None => Sha256::digest(certificate).to_vec(),
    }
}

/// A hash that replaces SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha384,
    Sha512,
}

/// Signature algorithms with a hash in their name: sha384WithRSAEncryption, ecdsa-with-SHA384 and so on.
const NAMED: [(&[u8], Hash); 4] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], Hash::Sha384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], Hash::Sha384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], Hash::Sha512),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], Hash::Sha512),
];

/// RSASSA-PSS, whose parameters name the hash.
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// The object identifiers of hashes: id-sha384 and id-sha512.
const HASHES: [(&[u8], Hash); 2] = [
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02], Hash::Sha384),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03], Hash::Sha512),
];

/// The hash of a certificate's signature, unless it is SHA-256 or weaker. The algorithm is the second element of the
/// outer sequence (X.509); PSS has its hash in the parameters after it, tagged `[0]` (RFC 4055).
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let find =
        |known: &[(&[u8], Hash)], oid: &[u8]| known.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash);
    let (outer, _) = element(certificate)?;
    let (_, rest) = element(outer)?;
    let (algorithm, _) = element(rest)?;
    let (oid, parameters) = element(algorithm)?;
    if oid != PSS {
        return find(&NAMED, oid);
    }
    let (parameters, _) = element(parameters)?;
    if parameters.first() != Some(&0xa0) {
        // Without parameters the hash is the default, SHA-1.
        return None;
    }
    let (tagged, _) = element(parameters)?;
    let (hash, _) = element(tagged)?;
    element(hash).and_then(|(oid, _)| find(&HASHES, oid))
}

/// The content of one DER element, and the bytes after it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.get(1..)?.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (length.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?, rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&[tag, 0x81, body.len() as u8][..], &body].concat()
    }

    /// The relevant parts of a certificate: a body, and the signature's algorithm with its parameters.
    fn certificate(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        der(0x30, &[&[0x30, 0x01, 0x00], &der(0x30, &[&der(0x06, &[oid]), parameters])])
    }

    #[test]
    fn a_certificates_digest_follows_its_signature() {
        let length = |hash| match hash {
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        };
        for (oid, hash) in NAMED {
            assert_eq!(server_end_point(&certificate(oid, &[0x05, 0x00])).len(), length(hash));
        }
        for (oid, hash) in HASHES {
            let parameters =
                der(0x30, &[&der(0xa0, &[&der(0x30, &[&der(0x06, &[oid])])]), &[0xa2, 0x03, 0x02, 0x01, 0x20]]);
            assert_eq!(server_end_point(&certificate(PSS, &parameters)).len(), length(hash));
        }
        for parameters in [&[][..], &[0x30, 0x00], &[0x30, 0x05, 0xa2, 0x03, 0x02, 0x01, 0x20], &[0x30, 0x7f, 0xa0]] {
            assert_eq!(server_end_point(&certificate(PSS, parameters)).len(), 32);
        }
        for bytes in [&[][..], &[0x30], &[0x30, 0x84, 0xff], &[0x30, 0x02, 0x30, 0x05], &certificate(&[0x2a], &[])] {
            assert_eq!(server_end_point(bytes).len(), 32);
        }
    }

    #[test]
    fn roots_that_are_not_pem_are_refused() {
        for text in ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(roots_in(text).is_err(), "{text}");
        }
    }
}
