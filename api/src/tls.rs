//! Mutual TLS between a command and a daemon on another machine. Both sides show a certificate of one CA: who has one is
//! root on the daemon's machine.

mod of_node;

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

pub use rustls::ServerConfig;
pub use rustls::pki_types::CertificateDer;

use crate::Error;

/// HTTP/2, which gRPC is on.
pub(crate) const PROTOCOL: &[u8] = b"h2";

/// Certificates and a key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whom to trust.
    pub ca: String,
    /// The own certificate, and those between it and the CA.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// Who is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Nobody without a certificate of the CA.
    OfTheCa,
    /// Those who have none yet too; a certificate that is shown must be of the CA.
    All,
}

/// How a node speaks to a cluster that it knows by nothing but the digest of its CA: without a certificate, and only to a manager.
///
/// # Errors
/// [`Error::Identity`].
pub fn stranger(digest: [u8; 32]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| broken("TLS")(e.to_string()))?;
    let verifier = Arc::new(ByDigest { digest, provider });
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// Trusts the CA of this digest, which the other side has to send along.
#[derive(Debug)]
struct ByDigest {
    digest: [u8; 32],
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ByDigest {
    fn trusting(&self, chain: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let ca = chain.iter().find(|certificate| crate::identity::digest_of(certificate) == self.digest);
        let ca = ca.ok_or(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        verifier.build().map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for ByDigest {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.trusting(intermediates)?.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn broken(what: &'static str) -> impl FnOnce(String) -> Error {
    move |reason| Error::Identity { what, reason }
}

fn certificates(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(broken(what)("it holds no certificate in PEM".into())),
        Err(error) => Err(broken(what)(format!("it is no PEM of certificates: {error:?}"))),
    }
}

impl Identity {
    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("CA", &self.ca)? {
            roots.add(certificate).map_err(|error| broken("CA")(error.to_string()))?;
        }
        Ok(roots)
    }

    fn own(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|_| broken("key")("it holds no private key in PEM".into()))?;
        Ok((certificates("certificate", &self.cert)?, key))
    }

    /// The names that the own certificate is for.
    pub fn names(&self) -> Vec<String> {
        let chain = certificates("certificate", &self.cert).unwrap_or_default();
        let own = chain.first().and_then(|own| webpki::EndEntityCert::try_from(own).ok());
        own.map_or_else(Vec::new, |own| own.valid_dns_names().map(str::to_owned).collect())
    }

    /// How a command speaks.
    ///
    /// # Errors
    /// [`Error::Identity`].
    pub fn client(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|e| broken("TLS")(e.to_string()))?;
        let (chain, key) = self.own()?;
        let config = builder.with_root_certificates(self.roots()?).with_client_auth_cert(chain, key);
        let mut config = config.map_err(|error| broken("certificate")(error.to_string()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }

    /// How a daemon listens.
    ///
    /// # Errors
    /// [`Error::Identity`].
    pub fn server(&self, clients: Clients) -> Result<ServerConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider));
        let verifier = if clients == Clients::All { verifier.allow_unauthenticated() } else { verifier };
        let verifier = verifier.build().map_err(|error| broken("CA")(error.to_string()))?;
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(|e| broken("TLS")(e.to_string()))?;
        let (chain, key) = self.own()?;
        let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let mut config = config.map_err(|error| broken("certificate")(error.to_string()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

/// Whether who has `own` takes the chain of a manager's certificates for one.
pub fn trusts(own: &Identity, chain: &str) -> bool {
    let verify = || {
        let chain = certificates("certificate", chain)?;
        let (first, rest) = chain.split_first().ok_or_else(|| broken("certificate")("there is none".into()))?;
        let roots = Arc::new(own.roots()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::new(ring::default_provider())).build();
        let verifier = verifier.map_err(|error| broken("CA")(error.to_string()))?;
        let name = ServerName::try_from(crate::identity::MANAGER_NAME);
        let name = name.map_err(|error| broken("certificate")(error.to_string()))?;
        let verified = verifier.verify_server_cert(first, rest, &name, &[], UnixTime::now());
        verified.map_err(|error| broken("certificate")(error.to_string()))
    };
    verify().is_ok()
}

/// What a failed handshake means to the person at the client.
pub(crate) fn explain(error: &io::Error) -> String {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "the other side hung up: is it a daemon of Orca with --tlsverify?".into()
            }
            _ => error.to_string(),
        };
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the daemon's certificate has expired ({reason}): renew it on the daemon's machine")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the daemon's certificate is not valid yet ({reason}): are both clocks right?")
            }
            CertificateError::ApplicationVerificationFailure => {
                "what answers is not a manager of the cluster that the join token is of: is the address right, and the \
                 token of the same cluster?"
                    .into()
            }
            CertificateError::UnknownIssuer => {
                "the daemon's certificate is not by the CA that is trusted here: is it the CA of that daemon?".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the daemon's certificate is for another name ({reason}): use a name that is in it")
            }
            other => format!("the daemon's certificate is not accepted: {other}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "the daemon says that this client's certificate has expired: get a new one".into()
            }
            AlertDescription::UnknownCA => {
                "the daemon does not trust this client's certificate: it is not by the daemon's CA".into()
            }
            AlertDescription::CertificateRequired => "the daemon wants a certificate of this client".into(),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => format!("the daemon refuses this client's certificate: {alert:?}"),
            other => {
                format!(
                    "the other side broke the handshake off ({other:?}): is it a daemon of Orca, of a like version?"
                )
            }
        },
        rustls::Error::InvalidMessage(_) => "what answers does not speak TLS".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_is_named() {
        let identity = Identity { ca: "x".into(), cert: String::new(), key: String::new() };
        assert!(identity.client().unwrap_err().to_string().contains("private key"));
        assert!(identity.server(Clients::OfTheCa).unwrap_err().to_string().contains("the CA"));
        assert_eq!(format!("{identity:?}"), "Identity", "no key in any log");
    }

    #[test]
    fn alerts_and_certificates_are_explained() {
        let explain = |error| explain(&io::Error::other(error));
        let bad = |error| explain(rustls::Error::InvalidCertificate(error));
        assert!(bad(CertificateError::Expired).contains("has expired"));
        assert!(bad(CertificateError::UnknownIssuer).contains("is not by the CA"));
        assert!(bad(CertificateError::NotValidForName).contains("another name"));
        assert!(
            explain(rustls::Error::AlertReceived(AlertDescription::UnknownCA)).contains("does not trust this client")
        );
    }
}
