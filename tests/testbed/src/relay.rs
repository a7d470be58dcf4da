//! A TCP relay between loopback ports that can fail as a network does: cut (connections reset, new
//! ones refused) or cut silently (connections stay open and nothing comes through), and healed
//! again; or it forgets the connections that are open, as a firewall does, and relays new ones.
//! With several targets it shares the connections out among them.
//!
//! Each runs on a thread and a runtime of its own, as the recorder does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// A relay that runs until it is dropped.
pub struct Relay {
    port: u16,
    targets: Arc<Mutex<Vec<u16>>>,
    state: watch::Sender<State>,
    lost: Arc<Lost>,
    _stop: oneshot::Sender<()>,
    // Bound and never listening: keeps the port ours while connections to it are refused.
    _reservation: Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Cut,
    Silent,
}

/// What connections lose for good.
#[derive(Debug, Default)]
struct Lost {
    /// How many times the connections of then lost both ways.
    both_ways: AtomicU64,
    /// How many times the connections of then lost the answers.
    answers: AtomicU64,
    /// A connection that carried no byte for this long loses both ways; 0 for never.
    idle_milliseconds: AtomicU64,
}

impl Relay {
    /// Starts one on a free port that leads nowhere yet: connections are taken and closed.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start() -> io::Result<Self> {
        let reservation = bound(0)?;
        let port = reservation.local_addr()?.as_socket().map_or(0, |address| address.port());
        Self::start_on(port, reservation)
    }

    /// Starts one on this port.
    ///
    /// # Errors
    /// When another process has the port.
    pub fn start_at(port: u16) -> io::Result<Self> {
        // Without sharing first: it fails when another process has the port.
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        Self::start_on(port, bound(port)?)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads connections that come from now on to these loopback ports, one after the other; a
    /// target that refuses is passed over.
    pub fn lead_to(&self, targets: &[u16]) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets.to_vec();
    }

    /// Resets every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Swallows every byte both ways from now on. Connections stay open, and new ones are taken.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Forgets the connections that are open now: they stay open and lose every byte both ways. New
    /// ones are relayed.
    pub fn forget(&self) {
        self.lost.both_ways.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on forgets each connection that has carried nothing for so long.
    pub fn forget_idle(&self, after: Duration) {
        self.lost.idle_milliseconds.store(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Loses every byte that the targets send from now on over the connections that are open now.
    /// What is sent to the targets arrives, and new connections are relayed.
    pub fn lose_answers(&self) {
        self.lost.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Relays again. A connection that lost bytes cannot go on, so it is reset.
    pub fn heal(&self) {
        self.state.send_replace(State::Open);
    }

    fn start_on(port: u16, reservation: Socket) -> io::Result<Self> {
        let targets = Arc::new(Mutex::new(Vec::new()));
        let (state, seen) = watch::channel(State::Open);
        let (stop, stopped) = oneshot::channel();
        let lost: Arc<Lost> = Arc::default();
        let service =
            Service { targets: Arc::clone(&targets), next: Arc::default(), state: seen, lost: Arc::clone(&lost) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Listening before the thread runs: who knows the port may connect at once.
        let listener = listen(&runtime, port)?;
        std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    _ = service.run(port, listener) => {}
                }
            });
        })?;
        Ok(Self { port, targets, state, lost, _stop: stop, _reservation: reservation })
    }
}

#[derive(Clone)]
struct Service {
    targets: Arc<Mutex<Vec<u16>>>,
    next: Arc<AtomicUsize>,
    state: watch::Receiver<State>,
    lost: Arc<Lost>,
}

impl Service {
    async fn run(mut self, port: u16, first: TcpListener) -> io::Result<()> {
        let mut listener = Some(first);
        loop {
            let open = match listener.take() {
                Some(open) => open,
                None => TcpListener::from_std(listening(port)?)?,
            };
            self.serve_until_cut(&open).await?;
            drop(open);
            if self.state.wait_for(|state| *state != State::Cut).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn serve_until_cut(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut state = self.state.clone();
            tokio::select! {
                accepted = listener.accept() => {
                    let service = self.clone();
                    let (stream, _) = accepted?;
                    tokio::spawn(service.serve(stream));
                }
                _ = state.wait_for(|state| *state == State::Cut) => return Ok(()),
            }
        }
    }

    async fn serve(mut self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        if *self.state.borrow_and_update() == State::Silent {
            // The other side never learns of this one.
            let _ = self.state.changed().await;
            return reset(&client);
        }
        let Some(server) = self.dial().await else { return reset(&client) };
        let _ = server.set_nodelay(true);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let lost = AtomicBool::new(false);
        let (seen, mut turns) = (self.state.clone(), self.state.clone());
        let Lost { both_ways, answers, idle_milliseconds } = &*self.lost;
        let (forgets, silences) = (both_ways.load(Ordering::Relaxed), answers.load(Ordering::Relaxed));
        let (forgotten, used) = (AtomicBool::new(false), Mutex::new(Instant::now()));
        let was_idle = || {
            let idle = std::mem::replace(&mut *used.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
            let bound = idle_milliseconds.load(Ordering::Relaxed);
            bound > 0 && idle.elapsed() > Duration::from_millis(bound)
        };
        let is_silent = || {
            if was_idle() {
                forgotten.store(true, Ordering::Relaxed);
            }
            *seen.borrow() == State::Silent
                || both_ways.load(Ordering::Relaxed) != forgets
                || forgotten.load(Ordering::Relaxed)
        };
        let is_mute = || is_silent() || answers.load(Ordering::Relaxed) != silences;
        let both = async {
            tokio::try_join!(
                pump(&mut from_client, &mut to_server, is_silent, &lost),
                pump(&mut from_server, &mut to_client, is_mute, &lost)
            )
        };
        tokio::select! {
            _ = both => return,
            () = over(&mut turns, &lost) => {}
        }
        reset(from_client.as_ref());
        reset(from_server.as_ref());
        // A dropped writing half would say goodbye in good order first.
        to_client.forget();
        to_server.forget();
    }

    /// The next target that takes a connection.
    async fn dial(&self) -> Option<TcpStream> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        for step in 0..targets.len() {
            let target = targets[turn.wrapping_add(step) % targets.len()];
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                return Some(stream);
            }
        }
        None
    }
}

/// Moves bytes one way until their end; while they are to be lost, both bytes and the end are.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    loses: impl Fn() -> bool,
    lost: &AtomicBool,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut piece).await;
        if loses() {
            lost.store(true, Ordering::Relaxed);
            if !matches!(read, Ok(1..)) {
                std::future::pending::<()>().await;
            }
            continue;
        }
        match read? {
            0 => return to.shutdown().await,
            read => to.write_all(&piece[..read]).await?,
        }
    }
}

/// Ends when a connection can go on no more.
async fn over(state: &mut watch::Receiver<State>, lost: &AtomicBool) {
    while state.changed().await.is_ok() {
        match *state.borrow() {
            State::Cut => return,
            State::Open if lost.load(Ordering::Relaxed) => return,
            State::Open | State::Silent => {}
        }
    }
}

/// Makes the close that follows a reset.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn bound(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}

fn listening(port: u16) -> io::Result<std::net::TcpListener> {
    let socket = bound(port)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn listen(runtime: &tokio::runtime::Runtime, port: u16) -> io::Result<TcpListener> {
    let _inside = runtime.enter();
    TcpListener::from_std(listening(port)?)
}

/// How many connections may wait to be taken.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn an_open_relay_passes_both_ways_and_leads_where_it_is_told() {
        let (one, other) = (Recorder::start().unwrap(), Recorder::start().unwrap());
        let relay = Relay::start().unwrap();
        assert_eq!(answer(&mut connect(&relay)), "", "it leads nowhere yet");
        relay.lead_to(&[one.port(), other.port()]);
        for _ in 0..4 {
            assert!(answer(&mut connect(&relay)).starts_with("HTTP/1.1 200"));
        }
        assert_eq!((one.recorded().len(), other.recorded().len()), (2, 2));
        // There is no listener at the first.
        relay.lead_to(&[crate::redis::free_port(), other.port()]);
        for _ in 0..4 {
            assert!(answer(&mut connect(&relay)).starts_with("HTTP/1.1 200"));
        }
        assert_eq!(other.recorded().len(), 6);
    }

    #[test]
    fn a_cut_relay_resets_what_is_open_and_refuses_what_comes() {
        let (recorder, relay) = (Recorder::start().unwrap(), Relay::start().unwrap());
        relay.lead_to(&[recorder.port()]);
        let mut open = connect(&relay);
        assert!(answer(&mut open).starts_with("HTTP/1.1 200"));
        relay.cut();
        assert_eq!(open.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        crate::redis::until("new ones are refused", || TcpStream::connect(address(&relay)).is_err());
        relay.heal();
        crate::redis::until("it relays again", || {
            TcpStream::connect(address(&relay)).is_ok_and(|mut stream| answer(&mut stream).starts_with("HTTP/1.1 200"))
        });
    }

    #[test]
    fn a_silent_relay_takes_everything_and_passes_nothing_until_it_heals() {
        let (recorder, relay) = (Recorder::start().unwrap(), Relay::start().unwrap());
        relay.lead_to(&[recorder.port()]);
        let (mut used, mut unused) = (connect(&relay), connect(&relay));
        assert!(answer(&mut used).starts_with("HTTP/1.1 200"));
        assert!(answer(&mut unused).starts_with("HTTP/1.1 200"));
        relay.silence();
        let mut late = connect(&relay);
        for stream in [&mut used, &mut late] {
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            assert_eq!(answer(stream), "");
        }
        assert_eq!(recorder.recorded().len(), 2);
        relay.heal();
        for stream in [&mut used, &mut late] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
        assert!(answer(&mut unused).starts_with("HTTP/1.1 200"), "it lost nothing, so it goes on");
    }

    #[test]
    fn a_relay_forgets_the_open_connections_alone() {
        let (recorder, relay) = (Recorder::start().unwrap(), Relay::start().unwrap());
        relay.lead_to(&[recorder.port()]);
        let mut open = connect(&relay);
        assert!(answer(&mut open).starts_with("HTTP/1.1 200"));
        relay.forget();
        open.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(answer(&mut open), "");
        assert_eq!(recorder.recorded().len(), 1);
        let mut late = connect(&relay);
        assert!(answer(&mut late).starts_with("HTTP/1.1 200"));
        relay.lose_answers();
        late.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(answer(&mut late), "");
        assert_eq!(recorder.recorded().len(), 3, "what is sent arrives");
        let mut idle = connect(&relay);
        assert!(answer(&mut idle).starts_with("HTTP/1.1 200"));
        relay.forget_idle(Duration::from_millis(100));
        std::thread::sleep(Duration::from_millis(150));
        idle.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(answer(&mut idle), "");
        assert_eq!(answer(&mut idle), "", "also when it is used again");
        assert!(answer(&mut connect(&relay)).starts_with("HTTP/1.1 200"));
    }

    fn connect(relay: &Relay) -> TcpStream {
        TcpStream::connect(address(relay)).unwrap()
    }

    fn address(relay: &Relay) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, relay.port()))
    }

    /// What one request is answered; empty when it is not.
    fn answer(stream: &mut TcpStream) -> String {
        let mut answered = String::new();
        if stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").is_ok() {
            let mut piece = [0; 4096];
            while !answered.ends_with('}') {
                match stream.read(&mut piece) {
                    Ok(read @ 1..) => answered.push_str(&String::from_utf8_lossy(&piece[..read])),
                    Ok(0) | Err(_) => break,
                }
            }
        }
        answered
    }
}
