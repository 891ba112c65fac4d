//! Mutual TLS between a command and a daemon on another machine. Both sides show a certificate of one CA: who has one is
//! root on the daemon's machine.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig};

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

    /// How a daemon listens: to nobody without a certificate of the CA.
    ///
    /// # Errors
    /// [`Error::Identity`].
    pub fn server(&self) -> Result<ServerConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider));
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
        assert!(identity.server().unwrap_err().to_string().contains("the CA"));
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
