//! TLS on the way to a syslog server, over a socket that never blocks.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::shim::SyslogTls;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::link::Sent;

/// How long a server may take to read the last of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Largest file of certificates or of a key.
const FILE_MAX: u64 = 1 << 20;

/// A connection, the handshake included.
pub struct Tls {
    connection: ClientConnection,
    /// The message at the front is within the connection.
    taken: bool,
}

impl Tls {
    /// Reads the files that are named, and begins.
    pub fn new(options: &SyslogTls) -> io::Result<Self> {
        let name = ServerName::try_from(options.server_name.clone()).map_err(invalid)?;
        let mut connection = ClientConnection::new(Arc::new(config(options)?), name).map_err(invalid)?;
        connection.set_buffer_limit(None);
        Ok(Self { connection, taken: false })
    }

    /// Whether it waits for the server's word, not for room to send.
    pub fn waits_for_input(&self) -> bool {
        self.connection.is_handshaking() && !self.connection.wants_write()
    }

    /// Sends a message, or what is left of it.
    pub fn send(&mut self, socket: &OwnedFd, message: &[u8]) -> io::Result<Sent> {
        while self.connection.is_handshaking() {
            if !self.flush(socket)? || !self.receive(socket)? {
                return Ok(Sent::Later);
            }
        }
        if !self.taken {
            self.connection.writer().write_all(message)?;
            self.taken = true;
        }
        if !self.flush(socket)? {
            return Ok(Sent::Later);
        }
        self.taken = false;
        Ok(Sent::Whole)
    }

    /// Takes in what the server says after the handshake; an error if it has gone.
    pub fn listen(&mut self, socket: &OwnedFd) -> io::Result<()> {
        while !self.connection.is_handshaking() && self.receive(socket)? {
            // Syslog has no answers: what comes is of no use.
            let mut rest = [0; 256];
            while self.connection.reader().read(&mut rest).is_ok_and(|count| count > 0) {}
        }
        Ok(())
    }

    /// Says that no more comes, and waits a while for the server to have read it: a socket that is closed with something unread
    /// resets the connection, and what the server has not read yet is lost.
    pub fn close(&mut self, socket: &OwnedFd) {
        self.connection.send_close_notify();
        // The server may be gone.
        let _ = self.flush(socket);
        let _ = shutdown(socket, Shutdown::Write);
        let deadline = Instant::now() + FAREWELL;
        let mut rest = [0; 1024];
        loop {
            match recv(socket, &mut rest, RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => {}
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                    let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                    if !poll(&mut waiting, left).is_ok_and(|ready| ready > 0) {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Whether all could be sent that waits.
    fn flush(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket(socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether something came.
    fn receive(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        match self.connection.read_tls(&mut Socket(socket)) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server has closed the connection")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if let Err(error) = self.connection.process_new_packets() {
            // The server is told why.
            let _ = self.flush(socket);
            return Err(invalid(error));
        }
        Ok(true)
    }
}

/// A socket as rustls takes it. One whose connection is under way is not ready.
struct Socket<'s>(&'s OwnedFd);

fn later(error: Errno) -> io::Error {
    if matches!(error, Errno::NOTCONN | Errno::NOBUFS) { ErrorKind::WouldBlock.into() } else { error.into() }
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        recv(self.0, buffer, RecvFlags::DONTWAIT).map(|(count, _)| count).map_err(later)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map_err(later)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

fn config(options: &SyslogTls) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(invalid)?;
    let builder = if options.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        match &options.ca {
            Some(path) => roots.add_parsable_certificates(certificates(path)?),
            // Certificates that can't be read are the system's matter; without any no server is trusted.
            None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        };
        builder.with_root_certificates(roots)
    };
    match &options.client {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let secret = PrivateKeyDer::from_pem_slice(&read(key)?);
            let secret = secret.map_err(|_| of(key, "it holds no private key"))?;
            builder.with_client_auth_cert(certificates(cert)?, secret).map_err(invalid)
        }
    }
}

fn of(path: &Path, reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(of(path, "it is no PEM file of certificates")),
    }
}

/// Takes every certificate, as `syslog-tls-skip-verify` asks.
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
