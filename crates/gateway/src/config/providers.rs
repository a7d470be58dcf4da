//! The section on identity providers: which there are, and the legs of a login.

use super::compiler::Compiler;
use super::document::{LoginMode, UpstreamProvider};
use super::provider::{Provider, ProviderId};

/// The identity providers. There is none only where there is no authorization server.
pub struct Providers {
    all: Vec<Provider>,
    legs: Vec<Leg>,
}

/// One leg of a login: the user logs in at one of its providers.
pub struct Leg {
    /// The providers, by their places in the configuration: one, or those that the user has the
    /// choice of.
    providers: Vec<usize>,
}

/// Where in its legs a login is.
pub enum Progress<'a> {
    /// The user logs in at one of these next.
    Next(&'a Leg),
    /// All legs are done.
    Complete,
    /// The configuration has changed since the login began, and its legs are no longer these.
    Changed,
}

impl Providers {
    /// Every provider, in the document's order.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.all.iter()
    }

    /// Returns the provider with this id; `None` if the configuration no longer has it.
    #[must_use]
    pub fn get(&self, id: ProviderId) -> Option<&Provider> {
        self.iter().find(|provider| provider.id == id)
    }

    /// The legs of a login, in their order. The first tells who the user is.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The providers of a leg, in the document's order.
    pub fn of<'a>(&'a self, leg: &'a Leg) -> impl Iterator<Item = &'a Provider> {
        leg.providers.iter().filter_map(|place| self.all.get(*place))
    }

    /// The leg at which the user has a choice, if there is one.
    #[must_use]
    pub fn choice(&self) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.is_choice())
    }

    /// Returns the provider of this name that the user has the choice of.
    #[must_use]
    pub fn offered(&self, name: &str) -> Option<&Provider> {
        self.of(self.choice()?).find(|provider| *provider.name == *name)
    }

    /// Returns where a login is that was completed at these providers, one after the other.
    ///
    /// Each has to be of the leg at its place: a login whose identity is of a provider that is not
    /// the first any more must not go on.
    #[must_use]
    pub fn progress(&self, done: &[ProviderId]) -> Progress<'_> {
        let has = |leg: &Leg, id: ProviderId| self.of(leg).any(|provider| provider.id == id);
        if done.len() > self.legs.len() || !self.legs.iter().zip(done).all(|(leg, id)| has(leg, *id)) {
            return Progress::Changed;
        }
        self.legs.get(done.len()).map_or(Progress::Complete, Progress::Next)
    }

    /// Returns the provider of a leg that a login goes to, of which the user chose `chosen` where
    /// there was a choice; `None` if the leg does not have it.
    #[must_use]
    pub fn at<'a>(&'a self, leg: &'a Leg, chosen: Option<ProviderId>) -> Option<&'a Provider> {
        if leg.is_choice() { self.of(leg).find(|provider| Some(provider.id) == chosen) } else { self.of(leg).next() }
    }

    /// Returns `true` if each login is one at this provider.
    #[must_use]
    pub fn is_required(&self, id: ProviderId) -> bool {
        self.get(id).is_some_and(|provider| provider.login == LoginMode::Required)
    }
}

impl Leg {
    /// Returns `true` if the user has a choice.
    #[must_use]
    pub const fn is_choice(&self) -> bool {
        self.providers.len() > 1
    }
}

impl Compiler<'_> {
    pub(super) fn providers(&mut self, written: &[UpstreamProvider], development: bool) -> Option<Providers> {
        if written.len() > MAX_PROVIDERS {
            return self.problem("upstreamProviders", format!("must be at most {MAX_PROVIDERS}"));
        }
        let paths = || (0..written.len()).map(|index| format!("upstreamProviders[{index}]"));
        let compiled: Vec<Option<Provider>> =
            paths().zip(written).map(|(path, provider)| self.provider(&path, provider, development)).collect();
        for (index, (path, provider)) in paths().zip(written).enumerate() {
            if written.iter().take(index).any(|other| other.name == provider.name) {
                self.problem::<()>(&format!("{path}.name"), "is another provider's name too");
            }
        }
        let legs = self.legs(written);
        Some(Providers { all: compiled.into_iter().collect::<Option<_>>()?, legs: legs? })
    }

    /// Makes the legs: one of each required provider, and one of all that the user chooses among,
    /// at the place of the first of them.
    fn legs(&mut self, written: &[UpstreamProvider]) -> Option<Vec<Leg>> {
        let is_choice = |place: &usize| written.get(*place).is_some_and(|provider| provider.login == LoginMode::Choice);
        let choices: Vec<usize> = (0..written.len()).filter(is_choice).collect();
        if let [only] = choices.as_slice() {
            let what = "needs a second provider to choose from; make this one \"required\" or \"onDemand\"";
            self.problem::<()>(&format!("upstreamProviders[{only}].login"), what);
        }
        let leg_at = |place: usize, provider: &UpstreamProvider| match provider.login {
            LoginMode::Required => Some(Leg { providers: vec![place] }),
            LoginMode::Choice if choices.first() == Some(&place) => Some(Leg { providers: choices.clone() }),
            LoginMode::Choice | LoginMode::OnDemand => None,
        };
        let legs: Vec<Leg> =
            written.iter().enumerate().filter_map(|(place, provider)| leg_at(place, provider)).collect();
        if legs.is_empty() && !written.is_empty() {
            let what = "users log in at none of them: one must have the `login` \"required\", or two \"choice\"";
            return self.problem("upstreamProviders", what);
        }
        if legs.len() > MAX_LEGS {
            let what = format!("a login may have at most {MAX_LEGS} legs; make some of them \"onDemand\"");
            return self.problem("upstreamProviders", what);
        }
        Some(legs)
    }
}

/// The most providers of a gateway.
const MAX_PROVIDERS: usize = 32;

/// The most legs of a login: what a login has done so far is in its cookie
/// ([`crate::browser::pending_login`]).
pub const MAX_LEGS: usize = 8;
