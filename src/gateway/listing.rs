//! What there is to ask, as `GET /v1/models` lists it: routes first, then models by their plain names and as
//! `provider/model`.

use super::{Gateway, RouteSettings};
use crate::api::models::{Architecture, ModelCard, Pricing, TopProvider, per_token};
use crate::catalog::{Model, Price};

impl Gateway {
    /// Every route and model, each by all its names.
    pub fn cards(&self) -> Vec<ModelCard> {
        let settings = self.settings();
        let mut cards: Vec<ModelCard> = settings.routes.iter().map(|route| route_card(self, route)).collect();
        let chat = settings.models.iter().map(|model| chat_card(self, model));
        for card in chat.chain(settings.embeddings.iter().map(|model| embedding_card(model))) {
            let plain = card.id.split_once('/').map_or("", |(_, name)| name).to_owned();
            for id in [plain, card.id.clone()] {
                if cards.iter().all(|other| other.id != id) {
                    cards.push(ModelCard { name: id.clone(), display_name: id.clone(), id, ..card.clone() });
                }
            }
        }
        cards
    }
}

/// A route takes what one of its models takes.
fn route_card(gateway: &Gateway, route: &RouteSettings) -> ModelCard {
    let mut parameters: Vec<_> = route.models.iter().flat_map(|model| gateway.supported_parameters(model)).collect();
    parameters.sort_unstable();
    parameters.dedup();
    let sees = route.models.iter().any(|model| model.capabilities.vision == Some(true));
    ModelCard {
        name: route.name.clone(),
        display_name: route.name.clone(),
        // A model whose window is not known may be the widest.
        context_length: route
            .models
            .iter()
            .map(|model| model.context_window)
            .collect::<Option<Vec<_>>>()
            .and_then(widest),
        architecture: chat_architecture(sees),
        supported_parameters: parameters,
        ..card(route.name.clone(), "satisfice")
    }
}

fn widest(windows: Vec<u32>) -> Option<u32> {
    windows.into_iter().max()
}

fn chat_card(gateway: &Gateway, model: &Model) -> ModelCard {
    ModelCard {
        architecture: chat_architecture(model.capabilities.vision == Some(true)),
        supported_parameters: gateway.supported_parameters(model),
        ..model_card(model)
    }
}

fn embedding_card(model: &Model) -> ModelCard {
    ModelCard {
        architecture: Architecture::new(vec!["text"], "embeddings"),
        supported_parameters: vec!["dimensions", "encoding_format"],
        ..model_card(model)
    }
}

fn model_card(model: &Model) -> ModelCard {
    let limits = TopProvider { context_length: model.context_window, max_completion_tokens: model.max_output_tokens };
    ModelCard {
        context_length: model.context_window,
        pricing: model.price.map(pricing),
        top_provider: Some(limits),
        input_usd_per_mtok: model.price.map(|price| price.input),
        output_usd_per_mtok: model.price.map(|price| price.output),
        ..card(model.id.to_string(), &model.id.provider)
    }
}

fn chat_architecture(sees: bool) -> Architecture {
    Architecture::new(if sees { vec!["text", "image"] } else { vec!["text"] }, "text")
}

fn pricing(price: Price) -> Pricing {
    Pricing {
        prompt: per_token(price.input),
        completion: per_token(price.output),
        input_cache_read: price.cached_input.map(per_token),
    }
}

/// `created` is 0: neither routes nor configured models have a birthday, and OpenAI's shape demands a number.
fn card(id: String, owned_by: &str) -> ModelCard {
    ModelCard { id, object: "model", kind: "model", owned_by: owned_by.to_owned(), ..ModelCard::default() }
}
