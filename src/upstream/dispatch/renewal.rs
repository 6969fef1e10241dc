//! What outlives a reload: the connections, tokens and health of providers that stay as they were.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::endpoint::Endpoint;
use super::{SetupError, Upstreams, tls};
use crate::catalog::Model;
use crate::upstream::settings::ProviderSettings;

impl Upstreams {
    /// Those of another configuration, whose models these are. A provider whose settings are what they were keeps its
    /// connections and its breakers, and its models theirs, with their limits and latencies, as long as it calls them by
    /// the same names; what is saved up for retries is kept too. Requests under way end as they began.
    ///
    /// # Errors
    /// As [`new`](Self::new); nothing has changed then.
    pub fn renewed<'m>(
        &self,
        providers: Vec<ProviderSettings>,
        connect: Duration,
        models: impl IntoIterator<Item = &'m Model>,
    ) -> Result<Self, SetupError> {
        let mut renewed = Self::made(providers, connect, |settings| {
            let before = self.endpoints.get(&settings.name)?;
            before.is_made_of(settings, connect).then(|| before.clone())
        })?;
        let kept = models.into_iter().filter_map(|model| {
            let before = self.known(&model.id, Arc::clone)?;
            let endpoint = renewed.endpoints.get(model.id.provider.as_str())?;
            Some((model.id.clone(), Arc::new(before.renewed(endpoint, model)?)))
        });
        let kept = kept.collect();
        renewed.targets = RwLock::new(kept);
        (renewed.budget, renewed.jitter) = (self.budget.clone(), self.jitter.clone());
        Ok(renewed)
    }

    /// `kept`: the endpoint that there is already for these settings.
    pub(super) fn made(
        providers: Vec<ProviderSettings>,
        connect: Duration,
        kept: impl Fn(&ProviderSettings) -> Option<Arc<Endpoint>>,
    ) -> Result<Self, SetupError> {
        let tls = Arc::new(tls::client_config(providers.iter().any(ProviderSettings::needs_tls))?);
        let mut endpoints = HashMap::with_capacity_and_hasher(providers.len(), FixedState::default());
        for provider in providers {
            let endpoint = match kept(&provider) {
                Some(endpoint) => endpoint,
                None => Arc::new(Endpoint::new(provider, tls.clone(), connect)?),
            };
            endpoints.insert(endpoint.name().to_owned(), endpoint);
        }
        Ok(Self {
            endpoints,
            targets: RwLock::default(),
            budget: Arc::default(),
            jitter: Arc::new(rand::random::<f64>),
        })
    }
}
