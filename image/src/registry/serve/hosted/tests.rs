use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::*;
use crate::Store;
use crate::digest::Digest;
use crate::manifest::Platform;
use crate::reference::Reference;
use crate::registry::{Credentials, Place, Proxies, PullRequest, PushRequest, Registries, Reporter, Settings};
use crate::snapshot::Unpacker;

/// A registry that is served on the loopback.
async fn serve(dir: &Path) -> (Arc<Registry>, SocketAddr) {
    let registry = Arc::new(Registry::open(dir).unwrap());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::clone(&registry);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let registry = Arc::clone(&served);
            tokio::spawn(super::super::connection(stream, move |request| Arc::clone(&registry).answer(request)));
        }
    });
    (registry, address)
}

fn registries() -> Registries {
    Registries::new(Settings {
        mirrors: Vec::new(),
        insecure: Vec::new(),
        certificates: Vec::new(),
        patience: Duration::from_secs(5),
        proxies: Proxies::default(),
    })
}

fn reporter() -> Reporter {
    Reporter::new(tokio::sync::mpsc::channel(1).0)
}

/// A store with one image of this name.
fn store(dir: &Path, name: &str) -> Arc<Store> {
    let store = Store::open(dir).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    archive.append_data(&mut header, "hello", &b"hello"[..]).unwrap();
    let options = crate::store::ImportOptions {
        name: Some(name.parse().unwrap()),
        changes: Vec::new(),
        message: None,
        platform: None,
        source: "-".into(),
        now: 1,
    };
    store.import(archive.into_inner().unwrap().as_slice(), &options).unwrap();
    Arc::new(store)
}

/// One request, whose answer is read whole: status, a header, body.
async fn ask(address: SocketAddr, head: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request =
        head.replacen('\n', &format!(" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n"), 1);
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn location(answer: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_else(|| panic!("no location: {answer}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_copied_deleted_and_collected() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, address) = serve(&dir.path().join("registry")).await;
    let name: Reference = format!("{address}/team/app:1").parse().unwrap();
    let from = store(&dir.path().join("a"), &name.to_string());
    let all = registries();
    let push =
        PushRequest { reference: name.clone(), all_tags: false, platform: None, credentials: None::<Credentials> };
    all.push(&from, push, &reporter()).await.unwrap();
    let to = Arc::new(Store::open(&dir.path().join("b")).unwrap());
    let pull =
        PullRequest { reference: name.clone(), all_tags: false, platform: Platform::host(), credentials: None, now: 1 };
    all.pull(&to, &Unpacker::InProcess, pull, &reporter()).await.unwrap();
    assert_eq!(from.get(&name.to_string()).unwrap().id, to.get(&name.to_string()).unwrap().id);
    // Within the registry blobs are taken over, and nothing is sent.
    let place = |text: String| Place { reference: text.parse().unwrap(), credentials: None };
    let copy = format!("{address}/other/copy:2");
    all.copy(&place(name.to_string()), &place(copy.clone()), true).await.unwrap();
    let digest = all.manifest(&place(copy)).await.unwrap().descriptor.digest;
    let catalog = ask(address, "GET /v2/_catalog?n=1\n", "").await;
    assert!(
        catalog.contains(r#"{"repositories":["other/copy"]}"#)
            && catalog.contains("link: </v2/_catalog?last=other/copy&n=1>")
    );
    assert!(ask(address, "GET /v2/_catalog?n=1&last=other%2Fcopy\n", "").await.contains(r#"["team/app"]"#));
    assert!(ask(address, "GET /v2/team/app/tags/list\n", "").await.contains(r#"{"name":"team/app","tags":["1"]}"#));
    // What one repository gives up the other still has.
    let blobs = registry.content.list().unwrap().len();
    assert_eq!(blobs, 3);
    assert!(ask(address, &format!("DELETE /v2/team/app/manifests/{digest}\n"), "").await.starts_with("HTTP/1.1 202"));
    assert!(ask(address, "GET /v2/team/app/manifests/1\n", "").await.starts_with("HTTP/1.1 404"));
    let later = SystemTime::now() + Duration::from_secs(7200);
    assert_eq!(registry.collect(GRACE, later).unwrap(), 0);
    assert!(ask(address, &format!("DELETE /v2/other/copy/manifests/{digest}\n"), "").await.starts_with("HTTP/1.1 202"));
    // What has just come is left alone, but for the manifest that was deleted.
    assert_eq!(registry.collect(Duration::from_secs(86_400), later).unwrap(), 1);
    assert_eq!(registry.collect(GRACE, later).unwrap(), 2);
    assert!(registry.content.list().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_on_where_they_were_and_lies_are_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, address) = serve(dir.path()).await;
    let begun = ask(address, "POST /v2/a/blobs/uploads/\n", "").await;
    assert!(begun.starts_with("HTTP/1.1 202") && begun.contains("range: 0-0"), "{begun}");
    let upload = location(&begun);
    let first = ask(address, &format!("PATCH {upload}\nContent-Range: 0-4\r\n"), "hello").await;
    assert!(first.starts_with("HTTP/1.1 202") && first.contains("range: 0-4"), "{first}");
    // One that does not follow is refused, with where it is.
    let gap = ask(address, &format!("PATCH {upload}\nContent-Range: 7-9\r\n"), "xyz").await;
    assert!(gap.starts_with("HTTP/1.1 416") && gap.contains("range: 0-4"), "{gap}");
    assert!(ask(address, &format!("GET {upload}\n"), "").await.contains("range: 0-4"));
    let elsewhere = upload.replacen("/v2/a/", "/v2/b/", 1);
    assert!(ask(address, &format!("PATCH {elsewhere}\n"), "x").await.starts_with("HTTP/1.1 404"));
    let digest = Digest::of(b"hello world");
    let done = ask(address, &format!("PUT {upload}?digest={digest}\n"), " world").await;
    assert!(done.starts_with("HTTP/1.1 201"), "{done}");
    assert!(
        ask(address, &format!("GET /v2/a/blobs/{digest}\nRange: bytes=6-\r\n"), "").await.ends_with("\r\n\r\nworld")
    );
    assert!(ask(address, &format!("GET /v2/b/blobs/{digest}\n"), "").await.starts_with("HTTP/1.1 404"), "another's");
    // A whole one, and one that is not what it says.
    let lie = ask(address, &format!("POST /v2/a/blobs/uploads/?digest={digest}\n"), "lie").await;
    assert!(lie.starts_with("HTTP/1.1 400") && lie.contains("DIGEST_INVALID"), "{lie}");
    let mounted = ask(address, &format!("POST /v2/b/blobs/uploads/?mount={digest}&from=a\n"), "").await;
    assert!(mounted.starts_with("HTTP/1.1 201"), "{mounted}");
    let escape = ask(address, &format!("POST /v2/b/blobs/uploads/?mount={digest}&from=..%2Fa\n"), "").await;
    assert!(escape.starts_with("HTTP/1.1 202"), "{escape}");
    assert!(ask(address, &format!("DELETE {}\n", location(&escape)), "").await.starts_with("HTTP/1.1 204"));
    assert_eq!(std::fs::read_dir(dir.path().join("staging")).unwrap().count(), 0, "nothing is left");
    assert_eq!(registry.content.list().unwrap(), [digest]);
    assert!(matches!(Registry::open(dir.path()), Err(Error::StoreBusy { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_name_what_is_there_and_say_things_about_others() {
    let dir = tempfile::tempdir().unwrap();
    let (_registry, address) = serve(dir.path()).await;
    let empty = Digest::of(b"{}");
    let config = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}}"#);
    let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
    let put = |name: &str| {
        format!("PUT /v2/a/manifests/{name}\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n")
    };
    let missing = ask(address, &put("1"), &manifest).await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("MANIFEST_BLOB_UNKNOWN"), "{missing}");
    assert!(
        ask(address, &format!("POST /v2/a/blobs/uploads/?digest={empty}\n"), "{}").await.starts_with("HTTP/1.1 201")
    );
    assert!(ask(address, &put("1"), &manifest).await.starts_with("HTTP/1.1 201"));
    let other = Digest::of(b"other");
    assert!(ask(address, &put(&other.to_string()), &manifest).await.contains("DIGEST_INVALID"));
    for bad in ["", "{}", r#"{"schemaVersion":1}"#, r#"{"schemaVersion":2,"mediaType":"x/y"}"#] {
        assert!(ask(address, &put("1"), bad).await.contains("MANIFEST_INVALID"), "{bad}");
    }
    // A signature of it.
    let subject = Digest::of(manifest.as_bytes());
    let about = format!(
        r#"{{"schemaVersion":2,"artifactType":"x/signature","config":{config},"layers":[],"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":{}}},"annotations":{{"k":"v"}}}}"#,
        manifest.len()
    );
    let said = ask(address, &put(&Digest::of(about.as_bytes()).to_string()), &about).await;
    assert!(said.contains(&format!("oci-subject: {subject}")), "{said}");
    let listed = |filter: &str| format!("GET /v2/a/referrers/{subject}{filter}\n");
    let all = ask(address, &listed(""), "").await;
    assert!(all.contains(r#""artifactType":"x/signature""#) && all.contains(r#""annotations":{"k":"v"}"#), "{all}");
    assert!(ask(address, &listed("?artifactType=x%2Fother"), "").await.contains(r#""manifests":[]"#));
    assert!(ask(address, &format!("GET /v2/a/referrers/{other}\n"), "").await.contains(r#""manifests":[]"#));
}
