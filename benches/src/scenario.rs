//! One scenario of the ladder: a port, the requests it is sent, and what they cost.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cpu;
use crate::envoy::{SHOWING, SHOWN};
use crate::load::{self, Load};

/// One way to handle a request.
pub(crate) struct Scenario {
    /// Its name in `ladder.json`.
    pub key: &'static str,
    /// The way of a request, in words.
    pub what: &'static str,
    /// Its port.
    pub port: u16,
    /// The part of the gateway that it is sent to: [`OURS`], [`NOT_OURS`] or
    /// [`crate::envoy::UNFILTERED`].
    pub under: &'static str,
    /// What it is sent.
    pub supply: Supply,
    /// Whom it lets pass, and what is left of the credentials then.
    pub passes: Passes,
    /// The processes whose time counts: Envoy and, for `ext_authz`, the service.
    pub processes: Vec<u32>,
    /// What was measured, one sample a round.
    pub samples: Vec<Sample>,
}

/// The tokens of a scenario's requests.
pub(crate) enum Supply {
    /// The same one again and again.
    Again(String),
    /// Each of them in turn. There must be more than a worker remembers, so that it has forgotten
    /// the first when all are used.
    InTurn(VecDeque<String>),
}

/// A scenario's treatment of credentials; checked before anything is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passes {
    /// Everything, unchanged.
    Everything,
    /// Everything, with the credentials replaced.
    Replaced,
    /// A request with any credentials.
    Credentials,
    /// The same, and the backend gets another token.
    CredentialsInjected,
    /// A request with a token that is signed well.
    GoodTokens,
    /// The same, and the backend gets another token.
    GoodTokensInjected,
    /// No request: what it is sent is refused as an invalid token.
    Nobody,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Processor time a request, in microseconds.
    pub cpu_us: f64,
    /// Requests a second.
    pub rps: f64,
    /// Requests.
    pub requests: u64,
}

impl Scenario {
    /// Checks that the scenario does what it is called.
    ///
    /// # Errors
    /// What it did instead.
    pub(crate) fn prove(&mut self) -> Result<(), String> {
        let token = match &mut self.supply {
            Supply::Again(token) => token.clone(),
            Supply::InTurn(tokens) => {
                tokens.rotate_left(1);
                tokens.back().cloned().ok_or("no tokens")?
            }
        };
        let own = format!("Bearer {token}");
        let showing = &format!("{}{SHOWING}", self.under);
        if self.passes == Passes::Nobody {
            let refused = load::ask(self.port, &request(showing, Some(&own)))?;
            let challenge = refused.header("www-authenticate").unwrap_or_default();
            let as_named =
                refused.status == 401 && challenge.contains("invalid_token") && refused.head.contains(self.what);
            return if as_named { Ok(()) } else { Err(format!("{}: it got {}", self.key, refused.head)) };
        }
        let shown = load::ask(self.port, &request(showing, Some(&own)))?;
        let seen = shown.header(SHOWN).unwrap_or_default();
        let as_named = match self.passes {
            Passes::Everything | Passes::Credentials => seen == own,
            // `jwt_authn` takes the token out.
            Passes::GoodTokens => seen != own,
            Passes::Nobody => false,
            Passes::Replaced | Passes::CredentialsInjected | Passes::GoodTokensInjected => {
                seen.starts_with("Bearer ") && seen != own
            }
        };
        if shown.status != 200 || !as_named {
            return Err(format!("{}: a good request got {}", self.key, shown.head));
        }
        let without = load::ask(self.port, &request(showing, None))?;
        let open = matches!(self.passes, Passes::Everything | Passes::Replaced);
        if (without.status == 200) != open {
            return Err(format!("{}: a request without credentials got {}", self.key, without.head));
        }
        let forged = load::ask(self.port, &request(showing, Some(&forge(&own))))?;
        let blind = open || matches!(self.passes, Passes::Credentials | Passes::CredentialsInjected);
        if (forged.status == 200) != blind {
            return Err(format!("{}: a forged token got {}", self.key, forged.head));
        }
        Ok(())
    }

    /// Sends requests for a while, at most `most` of them where the tokens take turns; gives what
    /// they cost.
    ///
    /// # Errors
    /// A request that did not pass.
    pub(crate) fn measure(&mut self, load: &mut Load, time: Duration, most: usize) -> Result<Sample, String> {
        let path = format!("{}/things", self.under);
        let bearer = |token: &String| request(&path, Some(&format!("Bearer {token}")));
        let (requests, again): (Vec<Vec<u8>>, bool) = match &mut self.supply {
            Supply::Again(token) => (vec![bearer(token)], true),
            Supply::InTurn(tokens) => (tokens.iter().take(most).map(bearer).collect(), false),
        };
        let before = self.used()?;
        let requests = requests.iter().map(Vec::as_slice);
        let status = if self.passes == Passes::Nobody { 401 } else { 200 };
        let outcome = if again { load.run(requests.cycle(), time, status) } else { load.run(requests, time, status) };
        let outcome = outcome.map_err(|error| format!("{}: {error}", self.key))?;
        let cpu = self.used()?.saturating_sub(before);
        if let Supply::InTurn(tokens) = &mut self.supply {
            tokens.rotate_left(usize::try_from(outcome.requests).unwrap_or_default());
        }
        let count = outcome.requests as f64;
        Ok(Sample {
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
            rps: count / outcome.wall.as_secs_f64(),
            requests: outcome.requests,
        })
    }

    fn used(&self) -> Result<Duration, String> {
        self.processes.iter().map(|id| cpu::used(*id)).sum()
    }
}

/// The same request for every scenario.
#[must_use]
pub(crate) fn request(path: &str, authorization: Option<&str>) -> Vec<u8> {
    let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nhost: gateway.example.com\r\nuser-agent: portcullis-benches\r\naccept: */*\r\n\
         {authorization}\r\n"
    )
    .into_bytes()
}

/// The token with another letter in the middle of its signature.
pub(crate) fn forge(token: &str) -> String {
    let signature = token.rfind('.').map_or(0, |dot| dot + 1);
    let at = signature + (token.len() - signature) / 2;
    let other = if token[at..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

/// What the gateway protects.
pub(crate) const OURS: &str = "/api";
/// What lies outside every resource, and passes.
pub(crate) const NOT_OURS: &str = "/elsewhere";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_differs_in_one_letter_of_its_signature() {
        let token = "Bearer aaaa.bbbb.AAAAAAAA";
        let forged = forge(token);
        assert_eq!(forged, "Bearer aaaa.bbbb.AAAABAAA");
    }
}
