//! Redis servers and sentinels of which each server is reached through a relay of its own: by its
//! replicas, by the sentinels and by the bridges. So the network of one server can fail while its
//! process goes on.

use crate::redis::{RedisServer, Sentinel, acl_with_wait, behind, cli, until};
use crate::relay::Relay;
use crate::resp::ask;

/// Three servers behind relays, and three sentinels.
pub struct Nodes {
    nodes: Vec<Node>,
    sentinels: Vec<Sentinel>,
}

struct Node {
    server: RedisServer,
    relay: Relay,
}

/// What can happen to a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGSTOP.
    Freeze,
    /// `SENTINEL FAILOVER`.
    Order,
    /// Its network resets and refuses connections.
    Cut,
    /// Its network swallows every byte.
    Silence,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Kill, Self::Freeze, Self::Order, Self::Cut, Self::Silence];
}

impl Nodes {
    /// Starts all and waits until they know each other. Blocks.
    ///
    /// # Panics
    /// When they do not get there.
    #[must_use]
    pub fn start() -> Self {
        let first = Node::start(None);
        let master = first.relay.port();
        let nodes: Vec<Node> = std::iter::once(first).chain((0..2).map(|_| Node::start(Some(master)))).collect();
        let nodes = Self { nodes, sentinels: (0..3).map(|_| Sentinel::start(master)).collect() };
        until("the group is whole", || nodes.is_whole());
        nodes
    }

    /// The bridge's words for them, under `redis:`.
    #[must_use]
    pub fn redis_config(&self) -> String {
        behind(&self.sentinels)
    }

    /// The number of the master that all sentinels name. Blocks until they agree.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    pub fn master(&self) -> usize {
        let mut master = None;
        until("the sentinels agree on a master", || {
            let named = self.named_by(0);
            master = self.nodes.iter().position(|node| Some(node.relay.port()) == named);
            master.is_some() && (1..self.sentinels.len()).all(|sentinel| self.named_by(sentinel) == named)
        });
        master.expect("it was named")
    }

    /// What administrators see of the servers and sentinels at the moment, to be asked from another
    /// thread.
    #[must_use]
    pub fn view(&self, deposed: usize) -> View {
        View {
            sentinels: self.sentinels.iter().map(|sentinel| sentinel.port).collect(),
            former: self.nodes[deposed].relay.port(),
            former_server: self.nodes[deposed].server.port,
            others: (0..self.nodes.len())
                .filter(|number| *number != deposed)
                .map(|number| (self.nodes[number].relay.port(), self.nodes[number].server.port))
                .collect(),
        }
    }

    /// The ends of the sentinels' logs.
    #[must_use]
    pub fn sentinel_logs(&self) -> String {
        let tail = |sentinel: &Sentinel| {
            format!("--- the end of sentinel {}'s log ---\n{}", sentinel.port, sentinel.process.log_tail())
        };
        self.sentinels.iter().map(tail).collect::<Vec<_>>().join("\n")
    }

    /// Lets a fault happen to the master of this number.
    ///
    /// # Panics
    /// When no sentinel takes the order.
    pub fn strike(&mut self, master: usize, fault: Fault, sentinel: usize) {
        let node = &mut self.nodes[master];
        match fault {
            Fault::Kill => node.server.process.kill(),
            Fault::Freeze => node.server.process.signal("-STOP"),
            Fault::Cut => node.relay.cut(),
            Fault::Silence => node.relay.silence(),
            Fault::Order => {
                let port = self.sentinels[sentinel % self.sentinels.len()].port;
                until("a sentinel takes the order", || cli(port, &["SENTINEL", "FAILOVER", "mymaster"]) == "OK");
            }
        }
    }

    /// Ends the fault, but for what is to be done by hand.
    pub fn heal(&mut self, number: usize, fault: Fault) {
        let master = self.nodes[self.master()].relay.port();
        let node = &mut self.nodes[number];
        match fault {
            Fault::Kill => {
                node.server = server(&node.relay, Some(master));
                node.relay.lead_to(&[node.server.port]);
            }
            Fault::Freeze => node.server.process.signal("-CONT"),
            Fault::Cut | Fault::Silence => node.relay.heal(),
            Fault::Order => {}
        }
    }

    /// Makes the former master a replica, as an operator would who does not wait for the sentinels
    /// to do it (they take some ten seconds), and waits until the group is whole again. Blocks.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn reunite(&self, number: usize) {
        let master = self.master();
        if master != number {
            let port = self.nodes[master].relay.port().to_string();
            cli(self.nodes[number].server.port, &["REPLICAOF", "127.0.0.1", &port]);
        }
        until("the group is whole again", || self.is_whole());
    }

    /// Whether every sentinel sees one master with two replicas that follow it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let named = self.named_by(0);
        let Some(master) = self.nodes.iter().find(|node| Some(node.relay.port()) == named) else { return false };
        let online = replicas_of(master.server.port);
        let sentinels = self.sentinels.iter().enumerate().all(|(number, sentinel)| {
            let told = ask(sentinel.port, &["SENTINEL", "MASTER", "mymaster"]).unwrap_or_default();
            let field = |name: &str| told.iter().skip_while(|word| *word != name).nth(1).map(String::as_str);
            let replicas = ask(sentinel.port, &["SENTINEL", "REPLICAS", "mymaster"]).unwrap_or_default();
            let well = replicas.windows(2).filter(|pair| pair[0] == "flags" && pair[1] == "slave").count();
            self.named_by(number) == named
                && field("flags") == Some("master")
                && field("num-other-sentinels") == Some("2")
                && well == 2
        });
        online == 2 && sentinels
    }

    fn named_by(&self, sentinel: usize) -> Option<u16> {
        named_by(self.sentinels[sentinel].port)
    }
}

/// Where to ask about a failover.
#[derive(Clone, Debug)]
pub struct View {
    sentinels: Vec<u16>,
    former: u16,
    former_server: u16,
    /// The relay of each and the server behind it.
    others: Vec<(u16, u16)>,
}

impl View {
    /// Whether one of the other servers says that it is the master.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        self.others.iter().any(|(_, port)| {
            ask(*port, &["ROLE"]).is_some_and(|words| words.first().is_some_and(|role| role == "master"))
        })
    }

    /// The other master that a sentinel names.
    #[must_use]
    pub fn announced(&self) -> Option<u16> {
        self.sentinels.iter().filter_map(|port| named_by(*port)).find(|named| *named != self.former)
    }

    /// Whether the master that was announced could make a write durable: a replica of it is in
    /// step.
    #[must_use]
    pub fn is_able(&self, announced: u16) -> bool {
        let master = self.others.iter().find(|(relay, _)| *relay == announced);
        master.is_some_and(|(_, server)| replicas_of(*server) > 0)
    }

    /// The scripts that the former master has run; `None` when it does not answer.
    #[must_use]
    pub fn former_writes(&self) -> Option<u64> {
        let stats = ask(self.former_server, &["INFO", "commandstats"])?.concat();
        let calls = |line: &str| {
            let rest = line.strip_prefix("cmdstat_evalsha:calls=").or_else(|| line.strip_prefix("cmdstat_eval:calls="));
            rest.and_then(|rest| rest.split(',').next()?.parse::<u64>().ok())
        };
        Some(stats.lines().filter_map(calls).sum())
    }
}

impl Node {
    fn start(master: Option<u16>) -> Self {
        let relay = Relay::start().unwrap_or_else(|error| panic!("no relay: {error}"));
        let server = server(&relay, master);
        relay.lead_to(&[server.port]);
        Self { server, relay }
    }
}

/// Starts a server that announces the address of its relay.
fn server(relay: &Relay, master: Option<u16>) -> RedisServer {
    let announced = relay.port().to_string();
    let mut arguments = vec!["--replica-announce-ip", "127.0.0.1", "--replica-announce-port", &announced];
    let master = master.map(|port| port.to_string());
    if let Some(master) = &master {
        arguments.extend(["--replicaof", "127.0.0.1", master]);
    }
    RedisServer::start(&acl_with_wait(), &arguments)
}

/// How many replicas of a master are in step; none of a server that is no master.
fn replicas_of(server: u16) -> usize {
    let replication = ask(server, &["INFO", "replication"]).unwrap_or_default().concat();
    if replication.contains("role:master") { replication.matches("state=online").count() } else { 0 }
}

fn named_by(sentinel: u16) -> Option<u16> {
    let said = ask(sentinel, &["SENTINEL", "get-master-addr-by-name", "mymaster"])?;
    said.get(1)?.parse().ok()
}
