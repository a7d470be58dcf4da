//! Redis servers, sentinels and bridges, each a process of its own on free loopback ports, ended with the test.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The ACL line of the seed's manifest.
pub(crate) const SEED_ACL: &str = "user toolhive-auth on >bridge-password ~thv:auth:* &* +GET +SET +SETNX +DEL +EXISTS +EXPIRE \
    +PEXPIRE +PTTL +MGET +SADD +SREM +SMEMBERS +EVAL +MULTI +EXEC +EVALSHA +PING";
/// The same, with what durable writes need.
pub(crate) fn acl_with_wait() -> String {
    format!("{SEED_ACL} +WAIT")
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A redis-server.
pub(crate) struct RedisServer {
    pub(crate) process: Process,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl RedisServer {
    pub(crate) fn start(acl: &str, arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("users.acl"), format!("{acl}\n")).unwrap();
        let port = free_port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--aclfile", "users.acl"])
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process: Process(process), port, _folder: folder };
        until("the server answers", || cli(port, &["PING"]) == "PONG");
        server
    }

    pub(crate) fn replica_of(master: u16, acl: &str) -> Self {
        let replica = Self::start(acl, &["--replicaof", "127.0.0.1", &master.to_string()]);
        until("the replica is in step", || {
            cli(replica.port, &["INFO", "replication"]).contains("master_link_status:up")
        });
        replica
    }
}

/// A redis-sentinel.
pub(crate) struct Sentinel {
    pub(crate) process: Process,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Sentinel {
    pub(crate) fn start(master: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let config = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n\
             sentinel parallel-syncs mymaster 1\n"
        );
        fs::write(folder.path().join("sentinel.conf"), config).unwrap();
        let process = Command::new("redis-sentinel")
            .arg("sentinel.conf")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sentinel = Self { process: Process(process), port, _folder: folder };
        until("the sentinel answers", || cli(port, &["PING"]) == "PONG");
        sentinel
    }
}

/// A master with two replicas, and three sentinels that know of all of them.
pub(crate) struct Group {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<Sentinel>,
}

impl Group {
    pub(crate) fn start(acl: &str) -> Self {
        let mut servers = vec![RedisServer::start(acl, &[])];
        let master = servers[0].port;
        servers.extend((0..2).map(|_| RedisServer::replica_of(master, acl)));
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

    pub(crate) fn redis_config(&self) -> String {
        let addrs: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("\"127.0.0.1:{}\"", sentinel.port)).collect();
        format!("sentinelConfig: {{ masterName: mymaster, sentinelAddrs: [{}] }}, {USER}", addrs.join(", "))
    }

    /// The port that the first sentinel names.
    pub(crate) fn master(&self) -> u16 {
        let said = cli(self.sentinels[0].port, &["SENTINEL", "get-master-addr-by-name", "mymaster"]);
        said.lines().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn server(&mut self, port: u16) -> &mut RedisServer {
        self.servers.iter_mut().find(|server| server.port == port).unwrap()
    }
}

/// A running bridge.
pub(crate) struct Bridge {
    pub(crate) process: Process,
    pub(crate) socket: PathBuf,
    pub(crate) observer: SocketAddr,
    folder: TempDir,
}

impl Bridge {
    /// With these words under `redis:`, and further lines; waits until it is ready.
    pub(crate) fn start(redis: &str, more: &str) -> Self {
        let bridge = Self::start_unready(redis, more);
        until("the bridge is ready", || bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
        bridge
    }

    /// The same, but waits only until it listens.
    pub(crate) fn start_unready(redis: &str, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("bridge.sock");
        let observer = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = if more.contains("listen:") { String::new() } else { "listen: { unix: SOCKET }\n".to_owned() };
        let config = format!("{listen}redis: {{ {redis} }}\nmetrics: {{ listen: \"{observer}\" }}\n{more}\n");
        fs::write(folder.path().join("bridge.yaml"), config.replace("SOCKET", &socket.display().to_string())).unwrap();
        let process =
            command(folder.path(), &[]).stderr(fs::File::create(folder.path().join("log")).unwrap()).spawn().unwrap();
        let bridge = Self { process: Process(process), socket, observer, folder };
        until("the bridge listens", || {
            TcpStream::connect(observer).is_ok() && bridge.observe("/healthz").starts_with("HTTP/1.1 200")
        });
        bridge
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The whole answer of the observers' address to a GET.
    pub(crate) fn observe(&self, path: &str) -> String {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = TcpStream::connect(self.observer) else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub(crate) fn metric(&self, line: &str) -> u64 {
        let page = self.observe("/metrics");
        let found = page.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0)
    }
}

/// `redis-bridge --check` with these words under `redis:`: whether it was content, and what it said.
pub(crate) fn check(redis: &str, more: &str) -> (bool, String) {
    let folder = TempDir::new().unwrap();
    let config = format!("listen: {{ unix: /nowhere/bridge.sock }}\nredis: {{ {redis} }}\n{more}\n");
    fs::write(folder.path().join("bridge.yaml"), config).unwrap();
    let done = command(folder.path(), &["--check"]).output().unwrap();
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let environment: BTreeMap<&str, &str> =
        [("REDIS_USERNAME", "toolhive-auth"), ("REDIS_PASSWORD", "bridge-password")].into();
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-bridge"));
    command.arg("--config").arg(folder.join("bridge.yaml")).args(arguments).envs(environment);
    command
}

/// The words under `redis:` for one server.
pub(crate) fn standalone(port: u16) -> String {
    format!("addr: \"127.0.0.1:{port}\", {USER}")
}

/// What a server answers to its administrator.
pub(crate) fn cli(port: u16, arguments: &[&str]) -> String {
    let done = Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// Asks again and again; a test that waits for nothing fails instead of hanging.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) const USER: &str = "aclUserConfig: { username: { env: REDIS_USERNAME }, password: { env: REDIS_PASSWORD } }";
