//! A node's end of the mesh.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use boringtun::noise::Tunn;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519::{PublicKey, StaticSecret};
use model::MeshKey;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::EventfdFlags;

use super::remotes::Remotes;
use super::tun::{Kind, Queue};
use super::udp::Socket;
use super::workers;
use crate::Error;
use crate::peers::Mesh;

/// Beginnings of sessions in a second from which on a peer has to show that it is where it says, twice counted.
const HANDSHAKES: u64 = 2_000;
/// Threads each way at most.
const THREADS: usize = 4;
/// Numbers of peers have 24 bits.
const INDEX_MASK: u32 = 0x00ff_ffff;

/// What all threads share.
pub(super) struct Shared {
    secret: StaticSecret,
    public: PublicKey,
    pub(super) limiter: Arc<RateLimiter>,
    remotes: RwLock<Arc<Remotes>>,
    mtu: AtomicUsize,
    index: AtomicU32,
    pub(super) queues: Vec<Queue>,
    /// Those of the device by which clients cross.
    pub(super) ingress: Vec<Queue>,
    pub(super) sockets: Vec<Socket>,
    pub(super) stop: OwnedFd,
    broken: AtomicBool,
}

impl Shared {
    pub(super) fn remotes(&self) -> Arc<Remotes> {
        Arc::clone(&self.remotes.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed)
    }

    /// The device or the socket cannot be used any more.
    pub(super) fn give_up(&self, error: &std::io::Error) {
        tracing::warn!(%error, "the mesh is cut off from its device or its port");
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(super) fn keys(&self) -> (&StaticSecret, &PublicKey) {
        (&self.secret, &self.public)
    }

    pub(super) fn next_index(&self) -> u32 {
        self.index.fetch_add(1, Ordering::Relaxed) & INDEX_MASK
    }

    pub(super) fn tunn(&self, peer: PublicKey, index: u32) -> Tunn {
        Tunn::new(self.secret.clone(), peer, None, None, index, Some(Arc::clone(&self.limiter)))
    }
}

/// A node's end of the mesh; it ends with this value, and the device stays.
pub struct Tunnel {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    device: String,
    ingress: Option<String>,
    port: u16,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, queues, sockets, ingress } = self;
        let mut held = f.debug_struct("Held");
        held.field("queues", queues).field("sockets", sockets).field("ingress", ingress).finish_non_exhaustive()
    }
}

/// What a successor needs to go on: its descriptors come apart.
pub struct Held {
    /// The private key.
    pub secret: [u8; 32],
    /// How many queues of the device.
    pub queues: usize,
    /// How many sockets.
    pub sockets: usize,
    /// How many queues of the device by which clients cross.
    pub ingress: usize,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("device", &self.device).field("port", &self.port).finish_non_exhaustive()
    }
}

/// A new private key.
fn draw() -> Result<[u8; 32], Error> {
    let mut secret = [0; 32];
    let drawn = SystemRandom::new().fill(&mut secret);
    drawn.map_err(|_| Error::Mesh { step: "draw a key for", source: std::io::Error::other("no random numbers") })?;
    Ok(secret)
}

fn ingress_device(mesh: &Mesh) -> Option<String> {
    mesh.ingress.as_ref().map(|ingress| ingress.device.clone())
}

/// Attaches to the device by which clients cross, if there is to be one.
fn ingress(mesh: &Mesh, count: usize) -> Result<Vec<Queue>, Error> {
    ingress_device(mesh).map_or(Ok(Vec::new()), |device| Queue::attach(&device, Kind::Frames, count))
}

impl Tunnel {
    /// Attaches to the device, binds the port and starts, with this private key or with a new one.
    ///
    /// # Errors
    /// What cannot be had of the device and the port.
    pub fn open(mesh: &Mesh, secret: Option<[u8; 32]>) -> Result<Self, Error> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let sockets = Socket::bind(mesh.port, count)?;
        let queues = Queue::attach(&mesh.device, Kind::Packets, count)?;
        let secret = secret.map_or_else(draw, Ok)?;
        Self::start(mesh, secret, queues, ingress(mesh, count)?, sockets)
    }

    /// Goes on with what a predecessor held: queues first, then sockets, then the queues by which clients cross.
    ///
    /// # Errors
    /// If they are not what they should be.
    pub fn adopt(mesh: &Mesh, held: &Held, descriptors: Vec<OwnedFd>) -> Result<Self, Error> {
        if descriptors.len() != held.queues + held.sockets + held.ingress || held.queues == 0 || held.sockets == 0 {
            return Err(Error::Malformed { what: "a predecessor's descriptors" });
        }
        let mut descriptors = descriptors.into_iter();
        let queues = descriptors.by_ref().take(held.queues).map(Queue::adopt).collect::<Result<_, _>>()?;
        let sockets = descriptors.by_ref().take(held.sockets).map(Socket::adopt).collect::<Result<_, _>>()?;
        let mut crossing: Vec<Queue> = descriptors.map(Queue::adopt).collect::<Result<_, _>>()?;
        if crossing.is_empty() {
            crossing = ingress(mesh, held.queues)?;
        }
        Self::start(mesh, held.secret, queues, crossing, sockets)
    }

    fn start(
        mesh: &Mesh,
        secret: [u8; 32],
        queues: Vec<Queue>,
        ingress: Vec<Queue>,
        sockets: Vec<Socket>,
    ) -> Result<Self, Error> {
        let failed = |step| move |source: std::io::Error| Error::Mesh { step, source };
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret);
        let mut index = [0; 4];
        let _ = SystemRandom::new().fill(&mut index);
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let shared = Arc::new(Shared {
            limiter: Arc::new(RateLimiter::new(&public, HANDSHAKES)),
            secret,
            public,
            remotes: RwLock::default(),
            mtu: AtomicUsize::new(mesh.mtu as usize),
            index: AtomicU32::new(u32::from_ne_bytes(index)),
            queues,
            ingress,
            sockets,
            stop: stop.map_err(|error| failed("watch the end of")(error.into()))?,
            broken: AtomicBool::new(false),
        });
        let (device, port) = (mesh.device.clone(), mesh.port);
        let mut tunnel = Self { shared, threads: Vec::new(), device, ingress: ingress_device(mesh), port };
        for number in 0..tunnel.shared.queues.len() {
            tunnel.spawn("mesh-out", number, workers::carry_out)?;
        }
        for number in 0..tunnel.shared.ingress.len() {
            tunnel.spawn("mesh-across", number, workers::carry_across)?;
        }
        for number in 0..tunnel.shared.sockets.len() {
            tunnel.spawn("mesh-in", number, workers::carry_in)?;
        }
        tunnel.spawn("mesh-clock", 0, |shared, _| workers::keep_time(shared))?;
        tunnel.set_peers(mesh);
        Ok(tunnel)
    }

    fn spawn(&mut self, name: &str, number: usize, work: fn(&Shared, usize)) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(format!("{name}{number}")).spawn(move || work(&shared, number));
        self.threads.push(thread.map_err(|source| Error::Mesh { step: "start a thread of", source })?);
        Ok(())
    }

    /// Speaks to these peers from now on. With new ones a session is begun at once: whoever learns of the other last succeeds.
    pub fn set_peers(&self, mesh: &Mesh) {
        self.shared.mtu.store(mesh.mtu as usize, Ordering::Relaxed);
        let (next, added) = self.shared.remotes().after(mesh, &self.shared);
        *self.shared.remotes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        for remote in added {
            workers::greet(&self.shared, &remote);
        }
    }

    /// Whether this is what carries that mesh, and still can.
    pub fn carries(&self, mesh: &Mesh) -> bool {
        let is_same = (&self.device, self.port, &self.ingress) == (&mesh.device, mesh.port, &ingress_device(mesh));
        is_same && !self.shared.broken.load(Ordering::Relaxed)
    }

    /// Who this node is in the mesh.
    pub fn key(&self) -> MeshKey {
        MeshKey::new(*self.shared.public.as_bytes())
    }

    /// The private key.
    pub fn secret(&self) -> [u8; 32] {
        self.shared.secret.to_bytes()
    }

    /// What a successor needs, with its descriptors, in the order in which they are adopted.
    pub fn held(&self) -> (Held, Vec<BorrowedFd<'_>>) {
        let Shared { queues, sockets, ingress, .. } = &*self.shared;
        let held = Held { secret: self.secret(), queues: queues.len(), sockets: sockets.len(), ingress: ingress.len() };
        let all = queues.iter().map(AsFd::as_fd).chain(sockets.iter().map(AsFd::as_fd));
        (held, all.chain(ingress.iter().map(AsFd::as_fd)).collect())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.shared.stop, &1u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
