//! The cluster's certificate authority: its key is in the replicated state, so that every manager can issue.

use std::time::Duration;

use api::identity::{names, peer};
use model::{ClusterId, ClusterIdentity, NextAuthority, NodeId, NodeRole, SECRET_LEN, SecretData, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// How long the CA's own certificate is valid: twenty years.
const CA_VALIDITY: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Certificates are valid from some time ago, for machines whose clocks are slow.
const BACKDATED: Duration = Duration::from_secs(2 * 24 * 3600);
/// Shortest life of a certificate: Swarm's.
pub const EXPIRY_MIN: Duration = Duration::from_secs(3600);
/// Length of a point on P-256, uncompressed.
const POINT_LEN: usize = 65;

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Authority { reason: error.to_string() }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// A secret for a join token.
///
/// # Errors
/// [`Error::Random`].
pub fn new_secret() -> Result<SecretData, Error> {
    Ok(SecretData::new(random::<SECRET_LEN>()?.to_vec()))
}

/// What the CA's certificate says, which those that it issues refer to.
fn authority_params(cluster: ClusterId, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, cluster.to_string());
    params.distinguished_name.push(DnType::CommonName, "orca-ca");
    valid(&mut params, now, CA_VALIDITY);
    params
}

fn valid(params: &mut CertificateParams, now: Timestamp, validity: Duration) {
    let since = Duration::from_nanos(u64::try_from(now.0).unwrap_or(0));
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since.saturating_sub(BACKDATED);
    params.not_after = epoch + since.saturating_add(validity);
}

/// A CA for a new cluster, and secrets for its join tokens.
///
/// # Errors
/// [`Error::Authority`], [`Error::Random`].
pub fn new_identity(cluster: ClusterId, now: Timestamp) -> Result<ClusterIdentity, Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = authority_params(cluster, now).self_signed(&key).map_err(failed)?;
    Ok(ClusterIdentity {
        ca: certificate.pem(),
        ca_key: SecretData::new(key.serialize_pem().into_bytes()),
        worker_secret: new_secret()?,
        manager_secret: new_secret()?,
        unlock_key: SecretData::default(),
        next: None,
    })
}

/// A CA that takes over from the present one, which vouches for it.
///
/// # Errors
/// [`Error::Authority`].
pub fn next_authority(identity: &ClusterIdentity, cluster: ClusterId, now: Timestamp) -> Result<NextAuthority, Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let params = authority_params(cluster, now);
    let certificate = params.self_signed(&key).map_err(failed)?;
    let cross = params.signed_by(&key, &issuer(&identity.ca_key, cluster, now)?).map_err(failed)?;
    Ok(NextAuthority {
        ca: certificate.pem(),
        ca_key: SecretData::new(key.serialize_pem().into_bytes()),
        cross: cross.pem(),
    })
}

fn issuer(key: &SecretData, cluster: ClusterId, now: Timestamp) -> Result<Issuer<'static, KeyPair>, Error> {
    let pem = std::str::from_utf8(key.reveal()).map_err(failed)?;
    Ok(Issuer::new(authority_params(cluster, now), KeyPair::from_pem(pem).map_err(failed)?))
}

/// SHA-256 of the certificate of the CA that issues now, which is what nodes with a certificate of it report.
///
/// # Errors
/// [`Error::Authority`].
pub fn authority(identity: &ClusterIdentity) -> Result<Vec<u8>, Error> {
    let ca = identity.next.as_ref().map_or(&identity.ca, |next| &next.ca);
    api::identity::digest_of_pem(ca).map(Vec::from).map_err(failed)
}

/// A point on P-256 that somebody shows as the public key of a node.
struct Point<'a>(&'a [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// What a certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose it is.
    pub node: NodeId,
    /// What the node may do.
    pub role: NodeRole,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// The node's public key, a point on P-256.
    pub public_key: &'a [u8],
    /// For how long.
    pub validity: Duration,
}

/// A certificate.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate and the CA's (each of them while it is rotated), PEM: who knows the CA by its digest only finds it there.
    pub chain: String,
    /// The key that the node is known by from now on (SubjectPublicKeyInfo).
    pub key: Vec<u8>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The key that a node with this public key is known by.
///
/// # Errors
/// [`Error::PublicKey`].
pub fn key_of(public_key: &[u8]) -> Result<Vec<u8>, Error> {
    // An uncompressed point begins with 4 (SEC 1, 2.3.3).
    if public_key.len() != POINT_LEN || public_key.first() != Some(&4) {
        return Err(Error::PublicKey);
    }
    Ok(Point(public_key).subject_public_key_info())
}

/// Issues a certificate.
///
/// # Errors
/// [`Error::PublicKey`], [`Error::Authority`], [`Error::Random`].
pub fn issue(identity: &ClusterIdentity, request: Request<'_>, now: Timestamp) -> Result<Issued, Error> {
    let Request { node, role, cluster, public_key, validity } = request;
    let key = key_of(public_key)?;
    let issuer = issuer(identity.next.as_ref().map_or(&identity.ca_key, |next| &next.ca_key), cluster, now)?;
    let mut params = CertificateParams::new(names(node, role, cluster)).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, cluster.to_string());
    params.distinguished_name.push(DnType::OrganizationalUnitName, format!("orca-{role}"));
    params.distinguished_name.push(DnType::CommonName, node.to_string());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // The first bit clear: a positive number (RFC 5280, 4.1.2.2).
    let mut serial = random::<16>()?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let validity = validity.max(EXPIRY_MIN);
    valid(&mut params, now, validity);
    let certificate = params.signed_by(&Point(public_key), &issuer).map_err(failed)?;
    // What nobody could recognise must not be handed out.
    if peer(certificate.der()).is_none_or(|peer| (peer.node, peer.role, &peer.key) != (node, role, &key)) {
        return Err(Error::PublicKey);
    }
    // While the CA is rotated: by whom those know it that trust the one before, or one of both by its digest only.
    let cross = identity.next.as_ref().map_or("", |next| &next.cross);
    Ok(Issued { chain: certificate.pem() + cross + &identity.trusted(), key, expires_at: now.plus(validity) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::identity::NodeKey;
    use api::tls::{Clients, Identity};

    #[test]
    fn a_certificate_names_its_node_and_is_trusted() {
        let (cluster, node) = (ClusterId::from_random(1), NodeId::from_random(2));
        let now = Timestamp(1_800_000_000_000_000_000);
        let identity = new_identity(cluster, now).unwrap();
        let key = NodeKey::generate().unwrap();
        for role in [NodeRole::Worker, NodeRole::Manager] {
            let validity = Duration::from_secs(7200);
            let request = Request { node, role, cluster, public_key: &key.public, validity };
            let issued = issue(&identity, request, now).unwrap();
            assert_eq!(issued.expires_at, now.plus(validity));
            let tls = Identity { ca: identity.ca.clone(), cert: issued.chain, key: key.pem.clone() };
            assert!(tls.client().is_ok() && tls.server(Clients::All).is_ok());
            assert_eq!(tls.names(), names(node, role, cluster));
        }
        let request = |public_key| Request { node, role: NodeRole::Worker, cluster, public_key, validity: EXPIRY_MIN };
        assert!(matches!(issue(&identity, request(b"x"), now), Err(Error::PublicKey)));
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }

    #[test]
    fn while_a_ca_takes_over_nodes_of_both_trust_each_other() {
        let (cluster, node) = (ClusterId::from_random(1), NodeId::from_random(2));
        let now = crate::store::now();
        let mut identity = new_identity(cluster, now).unwrap();
        let key = NodeKey::generate().unwrap();
        let certificate = |identity: &ClusterIdentity| {
            let (role, validity) = (NodeRole::Manager, EXPIRY_MIN);
            let request = Request { node, role, cluster, public_key: &key.public, validity };
            let chain = issue(identity, request, now).unwrap().chain;
            Identity { ca: identity.trusted(), cert: chain, key: key.pem.clone() }
        };
        let before = certificate(&identity);
        let next = next_authority(&identity, cluster, now).unwrap();
        identity.next = Some(next.clone());
        let between = certificate(&identity);
        let done = ClusterIdentity { ca: next.ca, ca_key: next.ca_key, next: None, ..identity.clone() };
        let after = certificate(&done);
        assert_ne!(authority(&done).unwrap(), authority(&ClusterIdentity { next: None, ..identity }).unwrap());
        for (one, other) in [(&before, &between), (&between, &before), (&between, &after), (&after, &between)] {
            assert!(api::tls::trusts(one, &other.cert), "{} {}", one.cert, other.cert);
        }
        assert!(!api::tls::trusts(&before, &after.cert) && !api::tls::trusts(&after, &before.cert));
    }
}
