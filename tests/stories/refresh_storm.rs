//! The tokens of all sessions run out at once, at two providers that rotate refresh tokens and end
//! the login whose token is used again: in two Envoys of two workers each, with a provider that is
//! slow, refuses or loses what it is asked, and a bridge that dies.
//!
//! `SESSIONS` sets how many there are: `make stories STORY=refresh_storm SESSIONS=1000
//! STORE=sentinel`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Request;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::rotating_provider::{Counts, First, RotatingProvider, account};
use portcullis_testbed::testbed::{Store, Testbed};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::machine;
use crate::support::until;

#[tokio::test]
async fn when_all_tokens_run_out_at_once_each_is_renewed_once_and_no_login_is_lost() {
    let providers = [RotatingProvider::start().unwrap(), RotatingProvider::start().unwrap()];
    let mut bed = started(&providers).await;
    let count = std::env::var("SESSIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(SESSIONS);
    let began = Instant::now();
    let sessions = log_in(&bed, count).await;
    let logged_in = began.elapsed();
    // They live for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    providers.iter().for_each(|provider| provider.set_life(3_600));

    let ports = bed.envoy_ports();
    let mut met: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (phase, (name, first)) in PHASES.into_iter().enumerate() {
        providers.iter().for_each(|provider| provider.set_first(first));
        let group: Vec<&Session> = sessions.iter().skip(phase).step_by(PHASES.len()).collect();
        let (began, before) = (Instant::now(), totals(&providers));
        let calls: Vec<_> = group
            .iter()
            .flat_map(|session| (0..CALLS).map(move |number| (*session, number)))
            .map(|(session, number)| {
                let port = ports[number % ports.len()];
                let url = format!("http://127.0.0.1:{port}{}", session.path);
                tokio::spawn(served(Request::get(&url).bearer(&session.access_token)))
            })
            .collect();
        if name == KILLED {
            // It dies once all are asked for, and is down when the providers answer, so that what
            // they gave waits for the store.
            let asked = before.0 + u32::try_from(group.len()).unwrap();
            until("all are asked for", async || totals(&providers).0 >= asked).await;
            bed.kill_bridge(0);
            until("some are granted", async || totals(&providers).1 > before.1).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            bed.restart_bridge(0);
        }
        let mut tries = 0;
        for call in calls {
            tries += call.await.expect("served in the end");
        }
        println!("{name}: {} sessions, {tries} tries in {:?}", group.len(), began.elapsed());
    }

    for request in bed.recorded().await {
        met.entry(request.path.clone()).or_default().insert(account(&request.bearer().unwrap()).unwrap());
    }
    // No session was given another one's token.
    let accounts: BTreeSet<(&str, u64)> =
        met.iter().map(|(path, accounts)| (resource(path), *accounts.first().unwrap())).collect();
    assert_eq!((met.len(), accounts.len()), (sessions.len(), sessions.len()));
    assert!(met.values().all(|accounts| accounts.len() == 1), "{met:?}");
    // Those that were called for are renewed once, and those of the other provider are not.
    for (provider, name) in providers.iter().zip(["/api/one", "/api/two"]) {
        let counts = provider.counts();
        let called: BTreeSet<u64> =
            accounts.iter().filter(|(resource, _)| *resource == name).map(|(_, account)| *account).collect();
        for (account, Counts { granted, reused, .. }) in &counts {
            let expected = u32::from(called.contains(account));
            assert_eq!((*granted, *reused), (expected, 0), "{name} {account}");
        }
        assert_eq!((counts.len(), called.is_empty()), (sessions.len(), false), "{name}");
    }
    println!("{count} sessions at 2 providers: logged in in {logged_in:?}, all in {:?}", began.elapsed());
    bed.assert_healthy().await;
}

/// How many refreshes were asked for and granted.
fn totals(providers: &[RotatingProvider; 2]) -> (u32, u32) {
    let counts = providers.iter().flat_map(|provider| provider.counts().into_values());
    counts.fold((0, 0), |(asked, granted), counts| (asked + counts.asked, granted + counts.granted))
}

struct Session {
    access_token: String,
    /// A path of its own below its resource.
    path: String,
}

/// The resource of a session's path.
fn resource(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(resource, _)| resource)
}

/// Logs users in at both providers, half of them for the resource of each.
async fn log_in(bed: &Testbed, count: usize) -> Vec<Session> {
    let mut clients = Vec::new();
    for path in ["/api/one", "/api/two"] {
        clients.push(OAuthClient::discover(&format!("{}{path}", bed.gateway())).await.register().await);
    }
    let turns = Arc::new(Semaphore::new(8));
    let logins: Vec<_> = (0..count)
        .map(|number| {
            // The two resources take turns by pairs of phases, so that each phase has both.
            let (client, turns) = (clients[(number / PHASES.len()) % 2].clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await.expect("a turn");
                let tokens = client.log_in(&mut Browser::new("a user")).await;
                let resource = client.resource.rsplit_once("/api/").map_or("", |(_, name)| name).to_owned();
                Session { access_token: tokens.access_token, path: format!("/api/{resource}/{number}") }
            })
        })
        .collect();
    let mut sessions = Vec::new();
    for login in logins {
        sessions.push(login.await.expect("a login"));
    }
    sessions
}

/// Calls until it is served; returns how often. Meanwhile the answer is 503, never that the login
/// is over.
async fn served(request: Request) -> u32 {
    let patience = Instant::now() + Duration::from_secs(30);
    let mut tries = 1;
    loop {
        let reply = request.clone().send().await;
        match reply.status {
            200 => return tries,
            503 if Instant::now() < patience => tries += 1,
            _ => panic!("{reply:?}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn started(providers: &[RotatingProvider; 2]) -> Testbed {
    let settings = |name: &str, provider: &RotatingProvider| {
        let url = provider.url();
        json!({ "name": name, "type": "oauth2", "oauth2Config": {
            "authorizationEndpoint": format!("{url}/authorize"), "tokenEndpoint": format!("{url}/token"),
            "cluster": name, "clientId": "portcullis", "clientSecret": { "env": "IDP_SECRET" },
            "userInfo": { "endpointUrl": format!("{url}/user"), "fieldMapping": { "subjectFields": ["id"] } },
        } })
    };
    let resource = |name: &str| {
        json!({ "resource": format!("{{gateway}}/api/{name}"), "match": { "prefix": format!("/api/{name}") },
                "scopes": ["openid"], "inject": { "type": "upstreamInject", "providerName": name } })
    };
    let [one, two] = providers;
    let store = Store::from_env().expect("a store");
    machine::testbed()
        .workers(2)
        .replicas(2)
        .store(if store == Store::Sentinel { store } else { Store::Standalone })
        .cluster("one", one.port())
        .cluster("two", two.port())
        .config(json!({
            "upstreamProviders": [settings("one", one), settings("two", two)],
            "resources": [resource("one"), resource("two")],
        }))
        .start()
        .await
}

/// What happens to the first refresh of each session, a share of which is in each phase.
const PHASES: [(&str, First); 6] = [
    ("all well", First::Granted),
    ("slow", First::Slow(Duration::from_millis(700))),
    ("status 500", First::Status(500)),
    ("status 429", First::Status(429)),
    ("lost on the way", First::Lost),
    (KILLED, First::Slow(Duration::from_secs(2))),
];
const KILLED: &str = "a bridge is killed";
/// Sessions, where `SESSIONS` does not say.
const SESSIONS: usize = 60;
/// Calls of each session at once, at both Envoys.
const CALLS: usize = 4;
