//! More asked for than Redis can do in time: what the bridge takes on must stay quick, and the rest
//! be refused at once.
//!
//! Redis is slow here, by a wire that holds back every answer for [`WIRE`]; so what the bridge
//! takes on at most, its capacity, is [`IN_FLIGHT`] operations in each such time, whatever the
//! machine. The callers send at a fixed pace.

use std::time::{Duration, Instant};

use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::delay_proxy::delay_proxy;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, standalone};
use tokio::task::JoinSet;

use crate::bridge::caller::{Caller, Ended, Verb, Way};
use crate::bridge::result::quantile;
use crate::text;

/// What came of it.
#[derive(Debug)]
pub(super) struct Overload {
    /// Operations a second that the bridge takes on at most.
    pub capacity: f64,
    /// Below capacity: what 99 of 100 answers stayed below, in microseconds.
    pub normal_p99_us: f64,
    /// Requests a second that were sent when it was too much.
    pub sent: f64,
    /// The share of them that was refused.
    pub refused: f64,
    /// Of the accepted ones, what 99 of 100 answers stayed below, in microseconds.
    pub accepted_p99_us: f64,
    /// Of the refusals, the same.
    pub refused_p99_us: f64,
}

/// Sends a quarter of what the bridge takes on, by so few callers that none can be refused, and
/// then ten times what it takes on; each for so long.
///
/// # Errors
/// What could not be started, or an answer that is neither done nor refused.
pub(super) fn measure(time: Duration) -> Result<Overload, String> {
    let redis = RedisServer::start(LEAST_ACL, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    let limits = format!("limits: {{ inFlight: {IN_FLIGHT}, queue: {QUEUE} }}");
    let bridge = Bridge::start(&standalone(delay_proxy(redis.port, WIRE)), &limits);
    let way = Way::Bridge(bridge.socket.clone().into_boxed_path());
    let capacity = IN_FLIGHT as f64 / WIRE.as_secs_f64();
    runtime.block_on(async {
        let normal = send(&way, capacity / 4.0, time).await?;
        if !normal.refused.is_empty() {
            return Err(format!("{} requests were refused below capacity", normal.refused.len()));
        }
        let much = send(&way, capacity * 10.0, time).await?;
        let count = (much.accepted.len() + much.refused.len()) as f64;
        Ok(Overload {
            capacity,
            normal_p99_us: quantile(&normal.accepted, 0.99),
            sent: count / time.as_secs_f64(),
            refused: much.refused.len() as f64 / count,
            accepted_p99_us: quantile(&much.accepted, 0.99),
            refused_p99_us: quantile(&much.refused, 0.99),
        })
    })
}

#[derive(Default)]
struct Answers {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Sends `a_second` requests a second; as many callers as it takes, each at its own steady pace.
async fn send(way: &Way, a_second: f64, time: Duration) -> Result<Answers, String> {
    let callers = (a_second * EACH.as_secs_f64()).round() as usize;
    let mut connected = Vec::new();
    for number in 0..callers {
        let mut caller = Caller::connect(way, Verb::Get, number).await?;
        caller.seed().await?;
        connected.push(caller);
    }
    let start = Instant::now();
    let paced = connected.into_iter().enumerate().map(|(number, caller)| {
        let first = start + EACH.mul_f64(number as f64 / callers as f64);
        pace(caller, first, start + time)
    });
    let mut asking: JoinSet<_> = paced.collect();
    let mut answers = Answers::default();
    while let Some(done) = asking.join_next().await {
        let done = done.map_err(text)??;
        answers.accepted.extend(done.accepted);
        answers.refused.extend(done.refused);
    }
    answers.accepted.sort_unstable();
    answers.refused.sort_unstable();
    Ok(answers)
}

async fn pace(mut caller: Caller, first: Instant, end: Instant) -> Result<Answers, String> {
    let mut answers = Answers::default();
    let mut due = first;
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        match caller.ask().await? {
            Ended::Done => answers.accepted.push(sent.elapsed()),
            Ended::Refused => answers.refused.push(sent.elapsed()),
        }
        due += EACH;
    }
    Ok(answers)
}

/// How long every answer of Redis is held back.
pub(super) const WIRE: Duration = Duration::from_millis(10);
const IN_FLIGHT: usize = 8;
const QUEUE: usize = 4;
/// How often each caller sends: longer than any answer should take, so that a caller is free when
/// its time comes.
const EACH: Duration = Duration::from_millis(40);
