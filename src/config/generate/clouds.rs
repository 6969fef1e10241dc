//! Amazon's and Google's clouds from the environment: an account there is more than a key.

use super::Entry;
use crate::catalog::providers::Catalogue;
use crate::config::aws::is_region;
use crate::config::{Environment, vertex};

/// What of a cloud must be in the environment, in the words of a message.
pub(super) const VARIABLES: &str = "AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, and \
     AWS_REGION; GOOGLE_APPLICATION_CREDENTIALS with GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION";

const BEARER: &str = "AWS_BEARER_TOKEN_BEDROCK";
const GOOGLE_KEY: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// A cloud; where only a part of what it needs is there, what is missing.
type Found = Result<Entry, String>;

/// The clouds that can be asked, and what is missing of others.
pub(super) fn found(environment: &Environment, catalogue: &Catalogue) -> (Vec<Entry>, Vec<String>) {
    let clouds = [bedrock(environment, catalogue), google(environment, catalogue)];
    let (whole, halves): (Vec<Found>, Vec<Found>) = clouds.into_iter().flatten().partition(Result::is_ok);
    (whole.into_iter().flatten().collect(), halves.into_iter().filter_map(Result::err).collect())
}

/// `None`: none of its keys is there.
fn bedrock(environment: &Environment, catalogue: &Catalogue) -> Option<Found> {
    let keys = match aws_keys(environment)? {
        Ok(keys) => keys,
        Err(half) => return Some(Err(half)),
    };
    let region = environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION"));
    let Some(region) = region else {
        let text = format!("{} is set, and no region is; export AWS_REGION to have Bedrock too", keys[0].1);
        return Some(Err(text));
    };
    if !is_region(region) {
        return Some(Err(format!("AWS_REGION is {region:?}, which is no region; export one such as \"us-east-1\"")));
    }
    let models = profiles(region, catalogue);
    if models.is_empty() {
        let text = format!("which models Bedrock has in {region} is not known; name them in a file to have it too");
        return Some(Err(text));
    }
    let secrets = keys.into_iter().map(|(key, variable)| (key, format!("env:{variable}")));
    let url = environment.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME").map(|url| ("base_url", url.to_owned()));
    let place = [("kind", "bedrock".to_owned()), ("region", region.to_owned())];
    Some(Ok(Entry {
        comment: Some("These inference profiles answer from any region of their geography; global ones from any."),
        name: "bedrock".into(),
        keys: place.into_iter().chain(url).chain(secrets).collect(),
        models,
    }))
}

/// Keys of the file and the variables that they are in; `None`: no variable is set.
fn aws_keys(environment: &Environment) -> Option<Result<Vec<(&'static str, &'static str)>, String>> {
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let set = |variable| environment.get(variable).is_some();
    let half = |there, missing| Err(format!("{there} is set, and {missing} is not; export both to have Bedrock too"));
    match (set(BEARER), set(id), set(secret)) {
        (true, ..) => Some(Ok(vec![("api_key", BEARER)])),
        (_, true, true) => {
            let token = set("AWS_SESSION_TOKEN").then_some(("aws_session_token", "AWS_SESSION_TOKEN"));
            let keys = [("aws_access_key_id", id), ("aws_secret_access_key", secret)];
            Some(Ok(keys.into_iter().chain(token).collect()))
        }
        (_, true, false) => Some(half(id, secret)),
        (_, false, true) => Some(half(secret, id)),
        (_, false, false) => None,
    }
}

/// The inference profiles of a region's geography, where the catalogue has one of a model; else its global one.
fn profiles(region: &str, catalogue: &Catalogue) -> Vec<String> {
    let known = |profile: &String| catalogue.facts.models_of("bedrock").any(|model| model == profile);
    let profile = |model: &String| {
        let mut profiles = geographies(region).iter().map(|geography| format!("{geography}.{model}"));
        profiles.find(known)
    };
    catalogue.clouds.bedrock.iter().filter_map(profile).collect()
}

/// Where a region's prompts may be answered, as profiles' ids begin:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>. China has no Bedrock.
fn geographies(region: &str) -> &'static [&'static str] {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| region.starts_with(prefix));
    match () {
        () if begins(&["us-gov-"]) => &["us-gov"],
        () if begins(&["cn-"]) => &[],
        () if begins(&["us-"]) => &["us", "global"],
        () if begins(&["eu-"]) => &["eu", "global"],
        () if begins(&["ap-southeast-2", "ap-southeast-4"]) => &["au", "apac", "global"],
        () if begins(&["ap-northeast-1", "ap-northeast-3"]) => &["jp", "apac", "global"],
        () if begins(&["ap-"]) => &["apac", "global"],
        () => &["global"],
    }
}

/// `None`: no key is there.
fn google(environment: &Environment, catalogue: &Catalogue) -> Option<Found> {
    let file = environment.get(GOOGLE_KEY)?;
    let place = |variable| {
        let missing = || format!("{GOOGLE_KEY} is set, and {variable} is not; export it to have Vertex too");
        environment.get(variable).map(str::to_owned).ok_or_else(missing)
    };
    Some(place("GOOGLE_CLOUD_PROJECT").and_then(|project| {
        let location = place("GOOGLE_CLOUD_LOCATION")?;
        // Many a tool has a key there that is no service account's: it shall not keep the others from starting.
        vertex::account_in(file).map_err(|problem| format!("what {GOOGLE_KEY} names {problem}"))?;
        let kind = ("kind", "vertex".to_owned());
        let keys = vec![kind, ("project", project), ("location", location), ("credentials_file", file.to_owned())];
        Ok(Entry { comment: None, name: "vertex".into(), keys, models: catalogue.clouds.vertex.clone() })
    }))
}
