//! `orca registry serve`: a registry, in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use image::registry::serve::hosted::{GRACE, Users};
use image::registry::serve::{Registry, connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// How often it is looked for what nothing names any more.
const COLLECT: Duration = Duration::from_secs(3600);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many clients there may be at once.
const CLIENTS: usize = 512;

/// What to do with a registry.
#[derive(Debug, Subcommand)]
pub enum RegistryVerb {
    /// Serve a registry that images can be pushed to and pulled from
    Serve(ServeArgs),
}

/// Arguments of `orca registry serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where repositories are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/orca-registry")]
    data_dir: PathBuf,
    /// Where to answer
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// The registry's certificate, and those between it and its CA
    #[arg(long, value_name = "FILE", requires = "tlskey")]
    tlscert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tlscert")]
    tlskey: Option<PathBuf>,
    /// Answer only these users: a file of htpasswd with bcrypt (`htpasswd -B`)
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
    /// Answer other machines without TLS, or without asking who they are
    #[arg(long)]
    insecure: bool,
}

/// Carries a verb out.
pub async fn run(verb: RegistryVerb) -> Result<()> {
    match verb {
        RegistryVerb::Serve(args) => serve(args).await,
    }
}

fn failed<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Start { action, reason: error.to_string() }
}

/// Serves until a signal ends it.
async fn serve(args: ServeArgs) -> Result<()> {
    let is_safe = args.tlscert.is_some() && args.htpasswd.is_some();
    if !args.listen.ip().is_loopback() && !is_safe && !args.insecure {
        let reason = "whoever reaches the port could read and replace images: give --tlscert, --tlskey and --htpasswd, or \
                      --insecure if that is wanted";
        return Err(Error::Flag { flag: "--listen", value: args.listen.to_string(), reason: reason.into() });
    }
    let tls = match (&args.tlscert, &args.tlskey) {
        (Some(cert), Some(key)) => Some(TlsAcceptor::from(Arc::new(config(cert, key)?))),
        _ => None,
    };
    let users = args.htpasswd.map(|path| Users::read(&path)).transpose().map_err(failed("read its users"))?;
    let users = users.map(Arc::new);
    let registry = Arc::new(Registry::open(&args.data_dir).map_err(failed("open its data directory"))?);
    let listener = TcpListener::bind(args.listen).await.map_err(failed("listen"))?;
    let address = listener.local_addr().map_err(failed("listen"))?;
    eprintln!("Serving {} at {address}", args.data_dir.display());
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("watch for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("watch for signals"))?;
    tokio::select! {
        () = accept(listener, tls, registry.clone(), users) => {}
        () = collect(registry) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Removes what nothing names, now and every hour.
async fn collect(registry: Arc<Registry>) {
    loop {
        let sweeping = registry.clone();
        match tokio::task::spawn_blocking(move || sweeping.collect(GRACE, SystemTime::now())).await {
            Ok(Err(error)) => eprintln!("What nothing names could not be removed: {error}"),
            Ok(Ok(removed)) if removed > 0 => eprintln!("Removed {removed} blobs that nothing names"),
            _ => {}
        }
        tokio::time::sleep(COLLECT).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, registry: Arc<Registry>, users: Option<Arc<Users>>) {
    let turns = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Descriptors run out, or the client has gone already.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, registry, users) = (tls.clone(), registry.clone(), users.clone());
        tokio::spawn(async move {
            let _turn = turn;
            client(stream, tls, registry, users).await;
        });
    }
}

async fn client(stream: TcpStream, tls: Option<TlsAcceptor>, registry: Arc<Registry>, users: Option<Arc<Users>>) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return answer(stream, registry, users).await };
    // Who does not get through a handshake is told why by it.
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        answer(stream, registry, users).await;
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: S, registry: Arc<Registry>, users: Option<Arc<Users>>) {
    connection(stream, move |request| {
        let (registry, users) = (registry.clone(), users.clone());
        async move {
            match users {
                Some(users) => match users.admit(request.headers()).await {
                    Ok(()) => registry.answer(request).await,
                    Err(refused) => refused,
                },
                None => registry.answer(request).await,
            }
        }
    })
    .await;
}

fn config(cert: &Path, key: &Path) -> Result<ServerConfig> {
    let text = crate::client::read_pem(cert)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(cert, error))?;
    let key_text = crate::client::read_pem(key)?;
    let own = PrivateKeyDer::from_pem_slice(key_text.as_bytes()).map_err(|error| wrong(key, error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed("use TLS"))?;
    builder.with_no_client_auth().with_single_cert(chain, own).map_err(failed("use its certificate"))
}

fn wrong(path: &Path, error: impl std::fmt::Debug) -> Error {
    Error::Start { action: "use its certificate", reason: format!("{}: {error:?}", path.display()) }
}
