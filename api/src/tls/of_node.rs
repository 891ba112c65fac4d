//! How one node of a cluster speaks to another one that it knows by its id.

use std::sync::Arc;

use model::NodeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::{Identity, broken};
use crate::Error;
use crate::identity::{names, peer};

impl Identity {
    /// How a node speaks to the node `node`, whatever address and role that has, over HTTP/1.1.
    ///
    /// # Errors
    /// [`Error::Identity`].
    pub fn client_of(&self, node: NodeId) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider)).build();
        let chain = verifier.map_err(|error| broken("CA")(error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| broken("TLS")(error.to_string()))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(ById { node, chain }));
        let (own, key) = self.own()?;
        builder.with_client_auth_cert(own, key).map_err(|error| broken("certificate")(error.to_string()))
    }
}

/// Trusts the certificate that the cluster's CA has issued to one node.
#[derive(Debug)]
struct ById {
    node: NodeId,
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ById {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let other = || rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        let shown = peer(end_entity).filter(|shown| shown.node == self.node).ok_or_else(other)?;
        // The role may be any; the name that has it is one of the certificate's all the same.
        let name = names(shown.node, shown.role, shown.cluster).into_iter().next().ok_or_else(other)?;
        let name = ServerName::try_from(name).map_err(|_| other())?;
        self.chain.verify_server_cert(end_entity, intermediates, &name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
