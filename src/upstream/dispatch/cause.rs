//! Whom a refusal blames: by its status, and by its words where they are more exact.

use http::StatusCode;

use super::super::Cause;
use crate::api::error::ErrorDetail;

/// Whom a refusal with this status blames.
pub fn cause_of(status: StatusCode, detail: &ErrorDetail) -> Cause {
    match status.as_u16() {
        400 | 413 | 422 if is_too_long(detail) => Cause::ContextLength,
        400 | 403 | 422 if is_filtered(detail) => Cause::ContentFilter,
        400 | 422 if is_unsupported(detail) => Cause::Unsupported,
        413 if is_too_much_at_once(detail) => Cause::Unsupported,
        400 if begins(detail, &OF_KEYS) => Cause::Credentials,
        400 if begins(detail, &OF_MODELS) => Cause::Configuration,
        401 => Cause::Credentials,
        402 if holds(detail, &["fewer max_tokens", "can only afford"]) => Cause::Configuration,
        402 => Cause::Credentials,
        403 => of_forbidden(detail),
        // The path, the host, the protocol or the proxy is wrong: clients make none of them.
        404 | 405 | 407 | 410 | 421 | 426 | 300..=399 => Cause::Configuration,
        408 => Cause::Timeout,
        429 => Cause::RateLimited,
        409 | 423..=425 => Cause::Server,
        400..=499 => Cause::Caller,
        500..=599 => Cause::Server,
        _ => Cause::Malformed,
    }
}

/// What some providers say of a key or an account with a 400. A message has to begin so: the rest of it may quote the
/// client, whose words shall not have a key left alone.
const OF_KEYS: [&str; 4] = [
    "your credit balance is too low",
    "you have reached your specified api usage limits",
    "this organization has been disabled",
    "incorrect api key provided",
];

/// And of a model that the operator has named wrongly.
const OF_MODELS: [&str; 2] = ["the provided model identifier is invalid", "invocation of model id "];

fn begins(detail: &ErrorDetail, words: &[&str]) -> bool {
    let message = detail.message.to_ascii_lowercase();
    words.iter().any(|words| message.starts_with(words))
}

fn holds(detail: &ErrorDetail, words: &[&str]) -> bool {
    let message = detail.message.to_ascii_lowercase();
    words.iter().any(|words| message.contains(words))
}

/// A 403 may be about this one model, or about the key or its account, which would keep all models from answering. One
/// that does not say so is taken to be about the model: if all of them are refused, each is soon left alone.
fn of_forbidden(detail: &ErrorDetail) -> Cause {
    const OF_ONE_MODEL: [&str; 4] = ["access to model", "access to the model", "to use the model", "invokemodel"];
    const OF_THE_KEY: [&str; 13] = [
        "key",
        "account",
        "billing",
        "credit",
        "credential",
        "balance",
        "quota",
        "spending",
        "organization",
        "authentic",
        "security token",
        "location",
        "disabled",
    ];
    let of_model = detail.code.as_deref() == Some("model_not_found") || holds(detail, &OF_ONE_MODEL);
    if !of_model && holds(detail, &OF_THE_KEY) { Cause::Credentials } else { Cause::Configuration }
}

/// OpenAI's code, llama.cpp's, and the words of those who have none.
fn is_too_long(detail: &ErrorDetail) -> bool {
    const WORDS: [&str; 10] = [
        "context length",
        "context window",
        "context size",
        "context_length",
        "input is too long",
        "`inputs` tokens + `max_new_tokens` must be",
        "maximum prompt length",
        "prompt is too long",
        "maximum number of tokens",
        "too many tokens",
    ];
    detail.code.as_deref() == Some("context_length_exceeded")
        || detail.kind == "exceed_context_size_error"
        || holds(detail, &WORDS)
}

/// Codes of OpenAI and Azure, and the words of OpenRouter, who moderates for some models; Anthropic and others answer 200
/// and say so in the finish reason.
fn is_filtered(detail: &ErrorDetail) -> bool {
    let code = detail.code.as_deref();
    matches!(code, Some("content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation"))
        || holds(detail, &["requires moderation and your input was flagged"])
}

/// OpenAI's codes for a field, or a value of one, that this model does not take and another may, and its words where it
/// has no code.
fn is_unsupported(detail: &ErrorDetail) -> bool {
    matches!(detail.code.as_deref(), Some("unsupported_parameter" | "unsupported_value" | "unknown_parameter"))
        || detail.message.starts_with("Unrecognized request argument")
        || detail.message.contains("not supported with this model")
}

/// Groq's words for a request that is more than a model's limit of a minute: waiting does not help, another model may.
fn is_too_much_at_once(detail: &ErrorDetail) -> bool {
    detail.code.as_deref() == Some("rate_limit_exceeded") || detail.kind == "tokens"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, message: &str, kind: &'static str, code: Option<&'static str>) -> Cause {
        let detail =
            ErrorDetail { message: message.into(), kind: kind.into(), param: None, code: code.map(Into::into) };
        cause_of(StatusCode::from_u16(status).unwrap(), &detail)
    }

    #[test]
    fn what_concerns_one_model_or_prompt_is_not_the_keys_fault() {
        for (status, message, code, cause) in [
            (
                403,
                "Project `proj_x` does not have access to model `new`",
                Some("model_not_found"),
                Cause::Configuration,
            ),
            (403, "You don't have access to the model with the specified model ID.", None, Cause::Configuration),
            (
                403,
                "User: arn:aws:iam::1:user/key is not authorized to perform: bedrock:InvokeModel",
                None,
                Cause::Configuration,
            ),
            (403, "Forbidden", None, Cause::Configuration),
            (403, "Your chosen model requires moderation and your input was flagged", None, Cause::ContentFilter),
            (403, "Key limit exceeded (total limit)", None, Cause::Credentials),
            (403, "The security token included in the request is invalid.", None, Cause::Credentials),
            (403, "User location is not supported for the API use.", None, Cause::Credentials),
            (
                402,
                "This request requires more credits, or fewer max_tokens. You can only afford 12000.",
                None,
                Cause::Configuration,
            ),
            (402, "Insufficient Balance", None, Cause::Credentials),
        ] {
            assert_eq!(told(status, message, "", code), cause, "{message}");
        }
    }

    #[test]
    fn an_operators_fault_that_comes_as_a_400_is_not_the_callers() {
        for (message, cause) in [
            ("Your credit balance is too low to access the Anthropic API.", Cause::Credentials),
            ("You have reached your specified API usage limits.", Cause::Credentials),
            ("This organization has been disabled.", Cause::Credentials),
            ("Incorrect API key provided: xa***23.", Cause::Credentials),
            ("The provided model identifier is invalid.", Cause::Configuration),
            ("Invocation of model ID x with on-demand throughput isn't supported.", Cause::Configuration),
            ("messages[0].role: 'Incorrect API key provided' is none of 'user', 'assistant'", Cause::Caller),
        ] {
            assert_eq!(told(400, message, "invalid_request_error", None), cause, "{message}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_much_is_known_in_many_words() {
        for (status, message, kind, code, cause) in [
            (
                400,
                "the request exceeds the available context size, try increasing it",
                "exceed_context_size_error",
                None,
                Cause::ContextLength,
            ),
            (
                422,
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000",
                "invalid_request_error",
                None,
                Cause::ContextLength,
            ),
            (
                413,
                "Request too large for model `x` on tokens per minute (TPM): Limit 6000",
                "tokens",
                Some("rate_limit_exceeded"),
                Cause::Unsupported,
            ),
            (413, "Request Entity Too Large", "invalid_request_error", None, Cause::Caller),
        ] {
            assert_eq!(told(status, message, kind, code), cause, "{message}");
        }
    }
}
