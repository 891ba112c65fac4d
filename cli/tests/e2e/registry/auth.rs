//! Who one is: TLS, basic authentication, tokens, logins and helpers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::server::{Request, Response, Server};
use super::{Registry, orca_as};
use crate::support::Node;

/// An address of the host that is not the loopback's, so that nothing about it may be insecure.
const OUTSIDE: &str = "192.0.2.7";

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes a server's certificate and key; their places.
    fn server(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let places = (dir.join("server.crt"), dir.join("server.key"));
        std::fs::write(&places.0, certificate.pem()).unwrap();
        std::fs::write(&places.1, key.serialize_pem()).unwrap();
        places
    }
}

fn htpasswd(node: &Node) -> PathBuf {
    let text = node.in_host(&["htpasswd", "-Bbn", "-C", "4", "user", "pass:word"]);
    node.file("htpasswd", &text)
}

#[test]
fn a_registry_is_trusted_by_its_ca_and_known_by_password() {
    let trusted = tempfile::tempdir().unwrap();
    let node = Node::start_with(&["--registry-certs", trusted.path().to_str().unwrap()]);
    node.in_host(&["ip", "address", "add", &format!("{OUTSIDE}/32"), "dev", "lo"]);
    let node = node.with_busybox();
    let authority = Authority::new();
    let (certificate, key) = authority.server(&node.files(), OUTSIDE);
    let more = format!(
        "  tls:\n    certificate: {}\n    key: {}\n---auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
        certificate.display(),
        key.display(),
        htpasswd(&node).display()
    );
    let registry = Registry::start(&node, &format!("{OUTSIDE}:5443"), &more);
    let (name, config) = (registry.name("box:1"), node.files().join("docker"));
    node.ok(&["tag", "busybox", &name]);

    let untrusted = node.fails(1, &["pull", &name]);
    assert!(untrusted.contains("is not trusted: ") && untrusted.contains("certs.d"), "{untrusted}");
    let certs = trusted.path().join(&registry.address);
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::write(certs.join("ca.crt"), Authority::new().certificate.pem()).unwrap();
    assert!(node.fails(1, &["pull", &name]).contains("is not trusted: "), "another CA must not do");
    std::fs::write(certs.join("ca.crt"), authority.certificate.pem()).unwrap();

    let run = |args: &[&str], password: &str| {
        let mut child = orca_as(&node, &config, args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write;
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (ok, said) = run(&["pull", &name], "");
    assert!(!ok && said.contains("may require 'orca login'"), "{said}");
    let login = ["login", "-u", "user", "--password-stdin", &registry.address];
    let (ok, said) = run(&login, "wrong");
    assert!(!ok && said.contains("login attempt to") && said.contains("401"), "{said}");
    assert!(!config.join("config.json").exists());
    let (ok, said) = run(&login, "pass:word\n");
    assert!(
        ok && said.contains("Login Succeeded") && said.contains("stored unencrypted"),
        "{said}\n{}",
        registry.log()
    );
    assert!(!said.contains("pass:word"));
    let mode = std::fs::metadata(config.join("config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (ok, said) = run(&["push", &name], "");
    assert!(ok, "{said}\n{}", registry.log());
    let (ok, said) = run(&["pull", &name], "");
    assert!(ok && said.contains("Image is up to date"), "{said}");
    let (ok, said) = run(&["login", &registry.address], "");
    assert!(ok && said.contains("Authenticating with existing credentials"), "{said}");

    // The same by a credential helper, which keeps the secret out of the file.
    helper(&node);
    std::fs::write(config.join("config.json"), r#"{"credsStore": "test", "other": 1}"#).unwrap();
    assert!(run(&login, "pass:word").0);
    let kept = std::fs::read_to_string(config.join("config.json")).unwrap();
    assert!(kept.contains("\"other\"") && !kept.contains("auth\""), "{kept}");
    assert!(run(&["push", &name], "").0);
    let (_, said) = run(&["logout", &registry.address], "");
    assert!(said.contains("Removing login credentials for"), "{said}");
    assert!(!run(&["push", &name], "").0);
    assert!(run(&["logout", &registry.address], "").1.contains("Not logged in to"));
    assert!(!node.daemon_log().contains("pass:word"));
}

/// A credential helper that keeps one secret in a file.
fn helper(node: &Node) {
    let script = "#!/bin/sh\nkept=\"$(dirname \"$0\")/kept\"\ncase $1 in\nstore) cat > $kept ;;\nget) cat >/dev/null; if [ -f $kept ]; then cat $kept; \
                  else echo credentials not found in native keychain; exit 1; fi ;;\nerase) rm $kept ;;\nesac\n";
    let path = node.file("bin/docker-credential-test", script);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_tls_only_the_loopback_and_what_was_said_to_be_insecure() {
    let insecure = "192.0.2.8";
    let node = Node::start_with(&["--insecure-registry", &format!("{insecure}/32")]);
    for address in [OUTSIDE, insecure] {
        node.in_host(&["ip", "address", "add", &format!("{address}/32"), "dev", "lo"]);
    }
    let node = node.with_busybox();
    let registry = Registry::start(&node, "0.0.0.0:5000", "");
    for (address, works) in [(OUTSIDE, false), (insecure, true), ("localhost", true)] {
        let name = format!("{address}:5000/box:1");
        node.ok(&["tag", "busybox", &name]);
        let output = node.orca(&["push", &name]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), works, "{address}: {error}\n{}", registry.log());
        assert!(works || error.contains("answers without TLS"), "{error}");
    }
}

/// Gives tokens for what the user asks, if it is his password, as <https://distribution.github.io/distribution/spec/auth/jwt/> has it.
fn token(request: &Request, signer: &ring::signature::EcdsaKeyPair, certificate: &Certificate) -> Response {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let basic = format!("Basic {}", STANDARD.encode("user:secret"));
    match request.header("authorization") {
        Some(given) if given != basic => return Response::new(401, "{\"details\":\"incorrect username or password\"}"),
        _ => {}
    }
    let known = request.header("authorization").is_some();
    let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
    let access: Vec<serde_json::Value> = scopes
        .map(|scope| scope.replace("%3A", ":").replace("%2C", ",").replace("%2F", "/"))
        .filter_map(|scope| {
            let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else { return None };
            let actions: Vec<&str> = actions.split(',').filter(|action| known || *action == "pull").collect();
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(certificate.der())]});
    let claims = json!({"iss": "issuer", "sub": "user", "aud": "service", "exp": now + 300, "nbf": now - 300, "iat": now - 300,
        "jti": "1", "access": access});
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = signer.sign(&ring::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let kept = if query.contains("offline_token=true") { json!("kept-token") } else { json!(null) };
    Response::new(200, json!({"token": token, "expires_in": 300, "refresh_token": kept}).to_string())
}

#[test]
fn tokens_are_asked_for_with_the_scopes_that_are_needed() {
    let node = Node::start().with_busybox();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["token".to_owned()]).unwrap().self_signed(&key).unwrap();
    let bundle = node.file("token.crt", &certificate.pem());
    let signing = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let random = ring::rand::SystemRandom::new();
    let signer = ring::signature::EcdsaKeyPair::from_pkcs8(signing, &key.serialize_der(), &random).unwrap();
    let tokens = Server::start(&node, move |request| token(request, &signer, &certificate));
    let more = format!(
        "auth:\n  token:\n    realm: http://{}/token\n    service: service\n    issuer: issuer\n    rootcertbundle: {}\n",
        tokens.address,
        bundle.display()
    );
    let registry = Registry::start(&node, "127.0.0.1:5000", &more);
    let (name, config) = (registry.name("team/box:1"), node.files().join("docker"));
    node.ok(&["tag", "busybox", &name]);
    let run = |args: &[&str]| {
        let output = orca_as(&node, &config, args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (ok, said) = run(&["push", &name]);
    assert!(!ok && said.contains("push access denied"), "{said}\n{}", registry.log());
    let (ok, said) = run(&["login", "-u", "user", "-p", "wrong", &registry.address]);
    assert!(!ok && said.contains("incorrect username or password"), "{said}");
    // As `login` of a registry without tokens to be kept leaves it.
    let auth = STANDARD.encode("user:secret");
    node.file("docker/config.json", &json!({"auths": {&registry.address: {"auth": auth}}}).to_string());
    let (ok, said) = run(&["push", &name]);
    assert!(ok, "{said}\n{}", registry.log());
    let asked: Vec<String> = tokens.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().any(|path| path.contains("scope=repository%3Ateam%2Fbox%3Apull%2Cpush")), "{asked:?}");
    std::fs::remove_file(config.join("config.json")).unwrap();
    assert!(run(&["pull", &name]).0, "anybody may pull");

    let (ok, said) = run(&["login", "-u", "user", "-p", "secret", &registry.address]);
    assert!(ok && said.contains("Login Succeeded"), "{said}");
    let kept = std::fs::read_to_string(config.join("config.json")).unwrap();
    assert!(kept.contains("\"identitytoken\": \"kept-token\"") && !kept.contains(&auth), "{kept}");
    run(&["pull", &name]);
    let refreshed = tokens.requests().into_iter().filter(|request| request.method == "POST");
    let forms: Vec<String> = refreshed.map(|request| String::from_utf8(request.body).unwrap()).collect();
    assert!(forms.iter().any(|form| form.contains("refresh_token=kept-token")), "{forms:?}");
}
