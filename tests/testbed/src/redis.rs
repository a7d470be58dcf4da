//! Redis servers and sentinels, each a process of its own on a free loopback port, ended with the
//! test.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::Process;

/// The ACL line of a deployment that grants the bridge no more than it must have. Durable writes
/// need [`acl_with_wait`].
pub const LEAST_ACL: &str = "user toolhive-auth on >bridge-password ~thv:auth:* &* +GET +SET +SETNX +DEL +EXISTS +EXPIRE \
    +PEXPIRE +PTTL +MGET +SADD +SREM +SMEMBERS +EVAL +MULTI +EXEC +EVALSHA +PING";

/// The same, with what durable writes need.
#[must_use]
pub fn acl_with_wait() -> String {
    format!("{LEAST_ACL} +WAIT")
}

/// The variables that name [`LEAST_ACL`]'s user to a bridge configured with [`USER`].
pub const CREDENTIALS: [(&str, &str); 2] = [("REDIS_USERNAME", "toolhive-auth"), ("REDIS_PASSWORD", "bridge-password")];

/// The bridge's words for that user, under `redis:`.
pub const USER: &str = "aclUserConfig: { username: { env: REDIS_USERNAME }, password: { env: REDIS_PASSWORD } }";

/// After this silence the sentinels take a server for down.
///
/// More than a second on purpose. A sentinel connects at most once a second; one that has just
/// tried to reach the dead master waits as long before it connects to the new one, takes that for
/// down in turn, and orders a second failover.
pub const DOWN_AFTER: Duration = Duration::from_millis(1_500);

/// A redis-server that keeps nothing on disk.
pub struct RedisServer {
    /// The running server.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one with this ACL line and further arguments, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(acl: &str, arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("users.acl"), format!("{acl}\n")).expect("written");
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = serve(port, &arguments, folder.path());
        Self { process, port, folder, arguments }
    }

    /// Starts it again on its port after its process was killed, without what it held, and waits
    /// until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&mut self) {
        self.process = serve(self.port, &self.arguments, self.folder.path());
    }

    /// Starts a replica and waits until it is in step.
    ///
    /// # Panics
    /// When it does not get there.
    #[must_use]
    pub fn replica_of(master: u16, acl: &str) -> Self {
        let replica = Self::start(acl, &["--replicaof", "127.0.0.1", &master.to_string()]);
        until_in_step(master, replica.port);
        replica
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It has nothing to save, and a stopped one would not hear anything gentler.
        self.process.kill();
    }
}

/// A redis-sentinel.
pub struct Sentinel {
    /// The running sentinel.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    _folder: TempDir,
}

impl Sentinel {
    /// Starts one that watches this master as `mymaster` and takes it for down after
    /// [`DOWN_AFTER`]; waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(master: u16) -> Self {
        Self::start_with(master, "")
    }

    /// The same, with further lines of configuration.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start_with(master: u16, more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let port = free_port();
        let config = format!(
            "{more}\nport {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds mymaster {}\nsentinel failover-timeout mymaster 5000\n\
             sentinel parallel-syncs mymaster 1\n",
            DOWN_AFTER.as_millis()
        );
        fs::write(folder.path().join("sentinel.conf"), config).expect("written");
        let arrange = |command: &mut Command| {
            command.arg("sentinel.conf").current_dir(folder.path());
        };
        let process = start("redis-sentinel", arrange, folder.path());
        until("the sentinel answers", || cli(port, &["PING"]) == "PONG");
        Self { process, port, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// A master with two replicas, and three sentinels that know of all of them.
pub struct Group {
    /// The servers; the first starts as the master.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub sentinels: Vec<Sentinel>,
}

impl Group {
    /// Starts all of them and waits until the sentinels know each other and both replicas.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    pub fn start(acl: &str) -> Self {
        let first = RedisServer::start(acl, &[]);
        let master = first.port;
        let replicas = (0..2).map(|_| RedisServer::replica_of(master, acl));
        let servers = std::iter::once(first).chain(replicas).collect();
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(master)).collect();
        for sentinel in &sentinels {
            until("the sentinels know each other", || {
                let known = cli(sentinel.port, &["SENTINEL", "MASTER", "mymaster"]);
                let field = |name| known.lines().skip_while(|line| *line != name).nth(1);
                field("num-slaves") == Some("2") && field("num-other-sentinels") == Some("2")
            });
        }
        Self { servers, sentinels }
    }

    /// The bridge's words for it, under `redis:`.
    #[must_use]
    pub fn redis_config(&self) -> String {
        behind(&self.sentinels)
    }

    /// The port of the master that the first sentinel names.
    ///
    /// # Panics
    /// When it names none.
    #[must_use]
    pub fn master(&self) -> u16 {
        let said = cli(self.sentinels[0].port, &["SENTINEL", "get-master-addr-by-name", "mymaster"]);
        said.lines().nth(1).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no master in {said:?}"))
    }

    /// The server at a port.
    ///
    /// # Panics
    /// When none of these is there.
    #[must_use]
    pub fn server(&mut self, port: u16) -> &mut RedisServer {
        self.servers.iter_mut().find(|server| server.port == port).expect("one of these servers")
    }
}

/// Three masters that share all slots evenly, in their order, and a replica of each.
pub struct Cluster {
    /// The masters at the start.
    pub masters: Vec<RedisServer>,
    /// Their replicas, in the same order.
    pub replicas: Vec<RedisServer>,
}

impl Cluster {
    /// Starts all of them and waits until all agree on the roles. No replica takes over from a
    /// master that is only late to answer on a busy machine.
    ///
    /// # Panics
    /// When they do not get there.
    #[must_use]
    pub fn start(acl: &str) -> Self {
        Self::start_with(acl, Duration::from_secs(30))
    }

    /// The same, but after a second's silence a replica takes over from its master, and the others
    /// go on meanwhile.
    ///
    /// # Panics
    /// When they do not get there.
    #[must_use]
    pub fn start_failing_over(acl: &str) -> Self {
        Self::start_with(acl, Duration::from_secs(1))
    }

    fn start_with(acl: &str, node_timeout: Duration) -> Self {
        let node_timeout = node_timeout.as_millis().to_string();
        let mut buses = Vec::new();
        let mut server = || {
            let bus = free_port();
            buses.push(bus);
            let bus = bus.to_string();
            let arguments =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", &node_timeout];
            RedisServer::start(
                acl,
                &[&arguments[..], &["--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no"]]
                    .concat(),
            )
        };
        let masters: Vec<RedisServer> = (0..3).map(|_| server()).collect();
        let replicas: Vec<RedisServer> = (0..3).map(|_| server()).collect();
        let all = || masters.iter().chain(&replicas);
        for (number, server) in (1..).zip(all()) {
            // Each its own epoch, or the servers would first have to settle whose word counts.
            cli(server.port, &["CLUSTER", "SET-CONFIG-EPOCH", &number.to_string()]);
        }
        until("the servers know each other", || {
            let known = |server: &RedisServer| cli(server.port, &["CLUSTER", "INFO"]).contains("cluster_known_nodes:6");
            // Again and again: a greeting that a busy server is late to answer is forgotten.
            for (server, bus) in all().zip(&buses).skip(1) {
                let (port, bus) = (server.port.to_string(), bus.to_string());
                if !known(server) {
                    cli(masters[0].port, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
                }
            }
            all().all(known)
        });
        for (server, (first, last)) in masters.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            assert_eq!(cli(server.port, &["CLUSTER", "ADDSLOTSRANGE", first, last]), "OK");
        }
        for (replica, master) in replicas.iter().zip(&masters) {
            let master = cli(master.port, &["CLUSTER", "MYID"]);
            until("the replica has its master", || cli(replica.port, &["CLUSTER", "REPLICATE", &master]) == "OK");
        }
        for server in all() {
            until("the cluster has formed", || {
                let (nodes, info) = (cli(server.port, &["CLUSTER", "NODES"]), cli(server.port, &["CLUSTER", "INFO"]));
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_assigned:16384")
                    && nodes.lines().filter(|node| node.contains("slave")).count() == 3
            });
        }
        for (master, replica) in masters.iter().zip(&replicas) {
            until_in_step(master.port, replica.port);
        }
        Self { masters, replicas }
    }

    /// The bridge's words for it, under `redis:`, naming these of its servers.
    #[must_use]
    pub fn redis_config(servers: &[RedisServer]) -> String {
        let addrs: Vec<String> = servers.iter().map(|server| format!("\"127.0.0.1:{}\"", server.port)).collect();
        format!("cluster: {{ addrs: [{}] }}, {USER}", addrs.join(", "))
    }

    /// The index of the master that has the slot of this name at the start, and the slot.
    ///
    /// # Panics
    /// When no server answers.
    #[must_use]
    pub fn owner(&self, name: &str) -> (usize, u32) {
        let slot = cli(self.masters[0].port, &["CLUSTER", "KEYSLOT", name]).parse().expect("a slot");
        ([5_460, 10_922].iter().filter(|last| slot > **last).count(), slot)
    }
}

/// The bridge's words for one server, under `redis:`.
#[must_use]
pub fn standalone(port: u16) -> String {
    format!("addr: \"127.0.0.1:{port}\", {USER}")
}

/// The bridge's words for the master that these sentinels watch, under `redis:`.
#[must_use]
pub fn behind(sentinels: &[Sentinel]) -> String {
    let addrs: Vec<String> = sentinels.iter().map(|sentinel| format!("\"127.0.0.1:{}\"", sentinel.port)).collect();
    format!("sentinelConfig: {{ masterName: mymaster, sentinelAddrs: [{}] }}, {USER}", addrs.join(", "))
}

/// The answer of a server to its administrator; empty when it does not answer.
///
/// # Panics
/// When there is no `redis-cli`.
pub fn cli(port: u16, arguments: &[&str]) -> String {
    let asked = Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output();
    let answered = asked.unwrap_or_else(|error| panic!("cannot run redis-cli: {error}"));
    String::from_utf8_lossy(&answered.stdout).trim().to_owned()
}

/// Asks again and again; a test that waits for nothing fails instead of hanging.
///
/// # Panics
/// When it does not hold within half a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "no success within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// A loopback port that is free at the moment, and another one each time.
///
/// It lies below those that the system gives to outgoing connections: one of them could take the
/// port before the caller listens there.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let (first, count) = (u32::from(PORTS.start), u32::from(PORTS.end - PORTS.start));
    // Programs that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(101);
    let free = (0..count).find_map(|_| {
        let number = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = u16::try_from(first + number).expect("a port");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    });
    free.expect("a free port")
}

/// By the master's word: the replica takes itself for ready up to a second sooner.
fn until_in_step(master: u16, replica: u16) {
    let online = format!("port={replica},state=online");
    until("the replica is in step", || cli(master, &["INFO", "replication"]).contains(&online));
}

fn serve(port: u16, arguments: &[String], folder: &Path) -> Process {
    let arrange = |command: &mut Command| {
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--aclfile", "users.acl"])
            .args(arguments)
            .current_dir(folder);
    };
    let process = start("redis-server", arrange, folder);
    until("the server answers", || cli(port, &["PING"]) == "PONG");
    process
}

fn start(name: &'static str, arrange: impl FnOnce(&mut Command), folder: &Path) -> Process {
    Process::start(name, Path::new(name), arrange, &folder.join("log")).unwrap_or_else(|error| panic!("{error}"))
}

const PORTS: Range<u16> = 10_240..32_000;
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
