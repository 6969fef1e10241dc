//! `GET /v1/models`: routes first, then models by their plain names and as `provider/model`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::{App, json};
use crate::api::models::{ModelCard, ModelList};
use crate::gateway::Settings;

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    json(&ModelList { object: "list", data: cards(&app.gateway.settings()) })
}

fn cards(settings: &Settings) -> Vec<ModelCard> {
    let routes = settings.routes.iter().map(|route| card(route.name.clone(), "satisfice"));
    let mut cards: Vec<ModelCard> = routes.collect();
    for model in &settings.models {
        for id in [model.id.model.to_string(), model.id.to_string()] {
            if cards.iter().all(|card| card.id != id) {
                let card = card(id, &model.id.provider);
                let (input, output) = (model.price.map(|p| p.input), model.price.map(|p| p.output));
                let context_length = model.context_window;
                let priced =
                    ModelCard { context_length, input_usd_per_mtok: input, output_usd_per_mtok: output, ..card };
                cards.push(priced);
            }
        }
    }
    cards
}

/// `created` is 0: neither routes nor configured models have a birthday, and OpenAI's shape demands a number.
fn card(id: String, owned_by: &str) -> ModelCard {
    ModelCard {
        id,
        object: "model",
        created: 0,
        owned_by: owned_by.to_owned(),
        context_length: None,
        input_usd_per_mtok: None,
        output_usd_per_mtok: None,
    }
}
