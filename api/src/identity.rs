//! Who a node is: the names in its certificate, its key, the digest of its CA.
//!
//! A certificate is for `NODE.ROLE.CLUSTER.orca`, and a manager's for `manager.orca` too: that is whom nodes look for, whatever
//! address answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{ClusterId, NodeId, NodeRole};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use webpki::EndEntityCert;

use crate::Error;

/// The name that every manager's certificate has.
pub const MANAGER_NAME: &str = "manager.orca";
const SUFFIX: &str = "orca";

/// The names that a node's certificate is for.
pub fn names(node: NodeId, role: NodeRole, cluster: ClusterId) -> Vec<String> {
    let own = format!("{node}.{role}.{cluster}.{SUFFIX}");
    let manager = (role == NodeRole::Manager).then(|| MANAGER_NAME.to_owned());
    std::iter::once(own).chain(manager).collect()
}

/// Who shows a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// What it was when the certificate was issued.
    pub role: NodeRole,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its public key (SubjectPublicKeyInfo), which it has proved to have.
    pub key: Vec<u8>,
}

/// The node that a certificate names; `None` for one that names none.
pub fn peer(certificate: &CertificateDer<'_>) -> Option<Peer> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let key = certificate.subject_public_key_info().as_ref().to_vec();
    certificate.valid_dns_names().find_map(|name| {
        let mut labels = name.split('.');
        let mut next = || labels.next();
        let (node, role, cluster) = (next()?, next()?, next()?);
        if next() != Some(SUFFIX) || next().is_some() {
            return None;
        }
        let (node, role) = (node.parse().ok()?, role.parse().ok()?);
        Some(Peer { node, role, cluster: cluster.parse().ok()?, key: key.clone() })
    })
}

/// A node's key pair.
pub struct NodeKey {
    /// The private key, PEM (PKCS #8).
    pub pem: String,
    /// The public one: a point on P-256, uncompressed.
    pub public: Vec<u8>,
}

impl NodeKey {
    /// A new one.
    ///
    /// # Errors
    /// [`Error::Identity`] if the kernel gives no random numbers.
    pub fn generate() -> Result<Self, Error> {
        let failed = |reason: &str| Error::Identity { what: "key", reason: reason.to_owned() };
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let document = document.map_err(|_| failed("the kernel gives no random numbers (getrandom(2) failed)"))?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Reads what [`generate`](Self::generate) has made.
    ///
    /// # Errors
    /// [`Error::Identity`] if it is none.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
        let key = key.map_err(|_| Error::Identity { what: "key", reason: "it holds no private key in PEM".into() })?;
        Self::from_pkcs8(key.secret_pkcs8_der())
    }

    fn from_pkcs8(document: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document, &SystemRandom::new());
        let pair = pair.map_err(|error| Error::Identity { what: "key", reason: error.to_string() })?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { pem: pem("PRIVATE KEY", document), public })
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A certificate as one word.
pub fn to_text(certificate: &CertificateDer<'_>) -> String {
    STANDARD.encode(certificate)
}

/// What [`to_text`] has written.
pub fn from_text(text: &str) -> Option<CertificateDer<'static>> {
    STANDARD.decode(text).ok().map(CertificateDer::from)
}

/// SHA-256 of a certificate.
pub fn digest_of(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest(&SHA256, certificate).as_ref()).for_each(|(byte, from)| *byte = *from);
    bytes
}

/// SHA-256 of a certificate in PEM, as join tokens have it.
///
/// # Errors
/// [`Error::Identity`] for a text that holds none.
pub fn digest_of_pem(text: &str) -> Result<[u8; 32], Error> {
    let certificate = CertificateDer::from_pem_slice(text.as_bytes());
    let certificate =
        certificate.map_err(|_| Error::Identity { what: "CA", reason: "it holds no certificate in PEM".into() })?;
    Ok(digest_of(&certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let key = NodeKey::generate().unwrap();
        assert_eq!(NodeKey::from_pem(&key.pem).unwrap().public, key.public);
        assert_eq!(key.public.len(), 65);
        assert!(NodeKey::from_pem("x").is_err());
        assert!(peer(&CertificateDer::from(vec![1, 2, 3])).is_none());
    }
}
