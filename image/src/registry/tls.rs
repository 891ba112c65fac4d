//! Whom to trust: the system's CAs, those of `certs.d/HOST/*.crt` as Docker has them, and nobody's word for insecure registries.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Error, Result};

/// Largest file of certificates.
const FILE_MAX: u64 = 4 << 20;

/// How to talk to `host` (with its port): CAs and the client's certificate from the first of `dirs` that has a directory of
/// that name. Without CAs of its own there, an insecure registry's certificate is not looked at.
pub fn config(host: &str, insecure: bool, dirs: &[PathBuf]) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let failed = |reason: String| Error::Connect { host: host.to_owned(), reason };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let own = Own::read(host, dirs)?;
    let builder = if insecure && own.authorities.is_empty() {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else {
        builder.with_root_certificates(roots(own.authorities))
    };
    match own.client {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| failed(error.to_string())),
    }
}

fn roots(own: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Certificates that can't be read are the system's matter; without any, every registry says that it isn't trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(own);
    roots
}

/// What `certs.d` has for one host.
#[derive(Default)]
struct Own {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Own {
    fn read(host: &str, dirs: &[PathBuf]) -> Result<Own> {
        let Some(dir) = dirs.iter().map(|dir| dir.join(host)).find(|dir| dir.is_dir()) else {
            return Ok(Own::default());
        };
        let failed = |path: &Path, reason: String| Error::File { path: path.display().to_string(), reason };
        let entries = fs::read_dir(&dir).map_err(|error| failed(&dir, error.to_string()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut own = Own::default();
        for path in paths {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("crt") => own.authorities.extend(certificates(&path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    let read = PrivateKeyDer::from_pem_slice(&read(&key)?);
                    let read = read.map_err(|error| failed(&key, format!("it holds no private key: {error:?}")))?;
                    own.client = Some((certificates(&path)?, read));
                }
                _ => {}
            }
        }
        Ok(own)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let failed = |error: std::io::Error| Error::File { path: path.display().to_string(), reason: error.to_string() };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let failed = |reason: String| Error::File { path: path.display().to_string(), reason };
    match found {
        Ok(found) if found.is_empty() => Err(failed("it holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(failed(format!("it is no PEM file of certificates: {error:?}"))),
    }
}

/// Takes every certificate, for registries that were said to be insecure.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
