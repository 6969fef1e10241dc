//! Configuration through its public door: text in, a valid setup or every mistake out.

use std::time::Duration;

use proptest::prelude::*;
use satisfice::catalog::providers::Catalogue;
use satisfice::config::{self, Environment, Flags, Mistakes, NoKeys, PriceOrigin, Setup};
use satisfice::gateway::{CacheRule, CacheSettings};
use satisfice::policy::Knob;
use satisfice::upstream::settings::Wire;
use secrecy::ExposeSecret;

const EXAMPLE: &str = include_str!("../../satisfice.example.toml");
const WRONG: &str = include_str!("config/wrong.toml");

/// A provider and two models; tests add to it.
const SMALL: &str = r#"
[[providers]]
name = "openai"
kind = "openai"
base_url = "https://api.openai.com/v1"
api_key = "env:KEY"
[[models]]
name = "cheap"
provider = "openai"
upstream_name = "gpt-4o-mini-2024-07-18"
[[models]]
name = "gpt-4o"
provider = "openai"
input_usd_per_mtok = 1
output_usd_per_mtok = 2.5
tools = false
"#;

fn environment() -> Environment {
    let broken = ("BROKEN_KEY", "sk\n1");
    Environment::from_iter([("KEY", "sk-1"), ("OPENAI_API_KEY", "sk-2"), ("GATEWAY_KEY", "gk-1"), broken])
}

fn read_with(text: &str, flags: &Flags) -> Result<Setup, Mistakes> {
    config::parse(text, "f.toml", &environment(), flags, &Catalogue::embedded().unwrap())
}

fn read(text: &str) -> Result<Setup, Mistakes> {
    read_with(text, &Flags::default())
}

fn mistakes(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn remarks(setup: &Setup) -> Vec<String> {
    setup.remarks.iter().map(|remark| remark.located("f.toml")).collect()
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line_and_a_remedy() {
    insta::assert_snapshot!(mistakes(WRONG), @r#"
    f.toml:1: unknown key `qualty` in the file (known: server, providers, models, routes, scorers, deadlines, classifier, cache)
    f.toml:2: unknown key `models_dir` in the file; did you mean "models"? (known: server, providers, models, routes, scorers, deadlines, classifier, cache)
    f.toml:5: `listen` "localhost:8080" is no address; give an IP address and a port, such as "127.0.0.1:8080"
    f.toml:7: `max_body_mib` of [server] is 0; give a whole number from 1 to 1024
    f.toml:8: `attempts` of [server] is 99; give a whole number from 1 to 10
    f.toml:9: `api_keys` of [server] is no list; give a list such as ["env:SATISFICE_KEY"]
    f.toml:14: `base_url` holds credentials; put the key into `api_key` as "env:NAME"
    f.toml:15: `api_key` of provider "openai": the environment variable "NOT_SET" is not set; export it before satisfice starts
    f.toml:18: the provider "openai" is there twice, first on line 12; rename one
    f.toml:19: `kind` of [[providers]] is "telex"; give one of "anthropic", "azure", "bedrock", "cohere", "gemini", "mistral", "openai", "openai-responses", "vertex"
    f.toml:20: `base_url` has a query (?…) or a fragment (#…); give scheme, host and path only
    f.toml:21: `api_key` of provider "openai" is empty, or holds spaces or characters that no HTTP header can carry; check for a line break
    f.toml:22: `headers`: "Authorization" is no header name, or one that satisfice sets itself; leave it out
    f.toml:22: `headers`: "x team" is no header name, or one that satisfice sets itself; leave it out
    f.toml:22: `headers`: the value of "x-ok" cannot stand in a header; use visible ASCII
    f.toml:25: the name "local/box" holds a slash, white space or a control character; give a plain name; how a provider calls its model goes to `upstream_name`
    f.toml:27: `base_url` must begin with https:// (or http://) and name a host
    f.toml:31: unknown provider "opnai"; did you mean "openai"? (there are: openai)
    f.toml:32: `tools` of [[models]] is of type string; give true or false
    f.toml:37: `input_usd_per_mtok` of [[models]] is -0.15; give USD per million tokens, from 0
    f.toml:38: `output_usd_per_mtok` of [[models]] is nan; give USD per million tokens, from 0
    f.toml:39: `context_window` of [[models]] is 1.5; give a whole number from 1 to 4294967295
    f.toml:41: `input_usd_per_mtok` of [[models]] is missing; give both prices, or neither to take them from the catalogue
    f.toml:42: the model "gpt-4o-mini" is there twice, first on line 35; rename one
    f.toml:46: `name` of [[models]] is missing; give the name that clients ask for, such as "gpt-4o-mini"
    f.toml:48: `input_usd_per_mtok` of [[models]] is of type string; give USD per million tokens, from 0
    f.toml:52: unknown model "gpt-4o-mni"; did you mean "gpt-4o-mini"? (there are: gpt-4o, gpt-4o-mini)
    f.toml:53: `quality` of [[routes]] is 1.7; give a number from 0 to 1
    f.toml:54: unknown key `expolre` in [[routes]]; did you mean "explore"? (known: name, models, quality, budget_per_1k, explore, shadow, scorers, balance, attempts, hedge_after_s, first_byte_s, idle_s, total_s, fallbacks, segments, rules, cache, drop_unsupported, panel)
    f.toml:57: the route "auto" is there twice, first on line 51; rename one
    f.toml:58: the route has no models; name at least one of the [[models]]
    f.toml:60: both `quality` and `budget_per_1k` are given; keep one of them
    f.toml:63: "gpt-4o" is a route and a model; rename one
    f.toml:64: two models called "gpt-4o-mini" in one route; name each model once, and rename those of the same name
    f.toml:65: `budget_per_1k` of [[routes]] is 0; give USD above 0
    f.toml:68: `connect_s` of [deadlines] is -1; give seconds above 0 and up to 86400
    f.toml:69: unknown key `first_byte` in [deadlines]; did you mean "first_byte_s"? (known: connect_s, first_byte_s, idle_s, total_s)
    "#);
}

#[test]
fn of_what_is_not_toml_every_part_is_reported_and_nothing_is_missed_for_it() {
    let text =
        "[server]\nlisten = 127.0.0.1:8080\nmax_body_mib = 0\n[[models]]\nname = \"a\nname = \"b\"\nprice = 0,15\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    f.toml:2: not TOML: invalid float, expected nothing
    f.toml:3: `max_body_mib` of [server] is 0; give a whole number from 1 to 1024
    f.toml:5: not TOML: invalid basic string, expected `"`
    f.toml:6: not TOML: duplicate key
    f.toml:7: not TOML: unexpected key or value, expected newline, `#`
    "#);
}

#[test]
fn how_long_trace_bodies_are_kept_is_set_in_days_and_gib() {
    let text =
        EXAMPLE.replace("# traces_days = 30 ", "traces_days = 7 ").replace("# traces_gib = 20 ", "traces_gib = 0.5 ");
    let server = read(&text).unwrap().server;
    assert_eq!((server.traces_days, server.traces_bytes), (7, 1 << 29));
    let wrong = text.replace("traces_days = 7 ", "traces_days = 0.5 ").replace("traces_gib = 0.5 ", "traces_gib = 0 ");
    let told = mistakes(&wrong);
    assert!(told.contains("`traces_days` of [server] is 0.5; give a whole number from 1 to 36500"), "{told}");
    assert!(told.contains("`traces_gib` of [server] is 0; give GiB from 0.01 to 1048576"), "{told}");
}

#[test]
fn an_empty_file_says_what_it_needs() {
    insta::assert_snapshot!(mistakes(""), @r#"
    f.toml: there are no [[models]]; satisfice.example.toml shows one
    f.toml: there are no [[providers]]; satisfice.example.toml shows one
    "#);
}

#[test]
fn the_example_file_is_valid_and_shows_every_key() {
    let setup = read(EXAMPLE).unwrap();
    assert_eq!(setup.gateway.routes.len(), 2);
    // Every key that is known is named by the remark on an unknown one.
    let unknown = read(&format!(
        "x = 1\n[server]\nx = 1\n[deadlines]\nx = 1\n[classifier]\nx = 1\n[cache]\nx = 1\n{}",
        entries_with_x()
    ));
    for finding in unknown.unwrap_err().findings.iter().filter(|f| f.text.starts_with("unknown key")) {
        let known = finding.text.rsplit("(known: ").next().unwrap().trim_end_matches(')');
        for key in known.split(", ") {
            assert!(EXAMPLE.contains(key), "{key} is not in the example file");
        }
    }
}

fn entries_with_x() -> String {
    let sections = ["providers", "models", "routes", "routes.segments", "scorers"];
    sections.map(|section| format!("[[{section}]]\nx = 1\n")).concat() + "[routes.cache]\nx = 1\n"
}

#[test]
fn what_the_file_does_not_say_comes_from_the_catalogue_or_a_default() {
    let setup = read(SMALL).unwrap();
    let [cheap, dear] = &setup.gateway.models[..] else { panic!("two models") };
    assert_eq!(cheap.id.to_string(), "openai/cheap");
    assert_eq!(cheap.upstream_name, "gpt-4o-mini-2024-07-18");
    assert_eq!((cheap.price.unwrap().input, cheap.price.unwrap().output), (0.15, 0.6));
    assert_eq!((cheap.context_window, cheap.max_output_tokens), (Some(128_000), Some(16_384)));
    assert_eq!(cheap.capabilities.tools, Some(true));
    assert_eq!((dear.price.unwrap().input, dear.price.unwrap().output), (1.0, 2.5));
    assert_eq!((dear.capabilities.tools, dear.capabilities.vision), (Some(false), Some(true)));
    assert!(matches!(&setup.origins[..], [PriceOrigin::Catalogue(id), PriceOrigin::File]
        if id.model == "gpt-4o-mini-2024-07-18"));
    assert_eq!(setup.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(setup.server.max_body_bytes, 32 << 20);
    assert_eq!((setup.server.traces_days, setup.server.traces_bytes), (30, 20 << 30));
    assert_eq!(setup.data_dir.to_str(), Some("data"));
    assert_eq!(setup.gateway.attempts, 3);
    assert_eq!(setup.providers[0].api_keys[0].expose_secret(), "sk-1");
}

#[test]
fn a_file_without_routes_gets_one_over_all_models_and_says_so() {
    let setup = read(SMALL).unwrap();
    let [auto] = &setup.gateway.routes[..] else { panic!("one route") };
    assert_eq!((auto.name.as_str(), auto.models.len(), auto.knob), ("auto", 2, Knob::Quality(0.95)));
    assert!(remarks(&setup).contains(&"f.toml: there are no [[routes]]: \"auto\" is made of all 2 models".to_owned()));
}

#[test]
fn the_knob_is_the_routes_own_then_the_flags_then_the_default() {
    let text = format!(
        "{SMALL}[[routes]]\nname = \"a\"\nmodels = [\"cheap\"]\nbudget_per_1k = 0.5\n[[routes]]\nname = \"b\"\n\
         models = [\"openai/cheap\", \"gpt-4o\"]\nexplore = false\ndrop_unsupported = true\npanel = false\n"
    );
    let knobs =
        |flags: &Flags| read_with(&text, flags).unwrap().gateway.routes.iter().map(|r| r.knob).collect::<Vec<_>>();
    assert_eq!(knobs(&Flags::default()), [Knob::BudgetPer1k(0.5), Knob::Quality(0.95)]);
    let flags = Flags { knob: Some(Knob::Quality(0.5)), ..Flags::default() };
    assert_eq!(knobs(&flags), [Knob::BudgetPer1k(0.5), Knob::Quality(0.5)]);
    let routes = read(&text).unwrap().gateway.routes;
    assert!(!routes[1].explore && routes[1].drop_unsupported && !routes[1].panel);
    assert!(!routes[0].drop_unsupported && routes[0].panel);
}

/// `SMALL` with a route that has these segments; the first of them begins on line 4 of what is given.
fn with_segments(segments: &str) -> String {
    format!("[[routes]]\nname = \"a\"\nmodels = [\"cheap\"]\n{segments}{SMALL}")
}

#[test]
fn segments_have_a_knob_of_their_own_and_explore_as_their_route_unless_they_say_so() {
    let setup = read(&with_segments(
        r#"explore = false
[[routes.segments]]
name = "strict"
metadata = { team = "search", env = "prod" }
quality = 0.99
[[routes.segments]]
name = "batch"
metadata = { team = "search" }
budget_per_1k = 0.2
explore = true
"#,
    ))
    .unwrap();
    let [strict, batch] = &setup.gateway.routes[0].segments[..] else { panic!("two segments") };
    assert_eq!((strict.name.as_str(), strict.knob, strict.explore), ("strict", Knob::Quality(0.99), false));
    assert_eq!((batch.name.as_str(), batch.knob, batch.explore), ("batch", Knob::BudgetPer1k(0.2), true));
    assert_eq!(strict.metadata.to_string(), "env=prod, team=search");
    let spec = &setup.gateway.route_specs()[0];
    assert_eq!(spec.segments.iter().map(|s| s.knob).collect::<Vec<_>>(), [strict.knob, batch.knob]);
}

#[test]
fn mistakes_in_segments_are_reported_with_their_line_and_a_remedy() {
    let text = with_segments(
        r#"[[routes.segments]]
name = "a"
metadata = { team = "search" }
quality = 0.9
budget_per_1k = 1
[[routes.segments]]
name = "a"
metadata = { env = "prod", team = "search" }
quality = 0.9
[[routes.segments]]
name = "none"
metadata = {}
quality = 2
[[routes.segments]]
metadata = { "te am" = "x" }
knob = 0.9
[[routes.segments]]
name = "list"
metadata = ["team"]
quality = 0.9
[[routes.segments]]
name = "all"
quality = 0.9
"#,
    );
    insta::assert_snapshot!(mistakes(&text), @r#"
    f.toml:8: both `quality` and `budget_per_1k` are given; keep one of them
    f.toml:9: every request of this segment (env=prod, team=search) is in the one on line 4 already; put it before that one, or give it other `metadata`
    f.toml:10: the segment "a" is there twice, first on line 5; rename one
    f.toml:15: `metadata` of a segment is empty, and would match every request; give at least one pair
    f.toml:16: `quality` of [[routes.segments]] is 2; give a number from 0 to 1
    f.toml:17: `name` of [[routes.segments]] is missing; give a name such as "search"
    f.toml:17: `quality` of [[routes.segments]] is missing; give this or `budget_per_1k`; what has no knob of its own needs no segment
    f.toml:18: `metadata` of a segment has the key "te am"; give 1 to 64 ASCII letters, digits or any of _-./:
    f.toml:19: unknown key `knob` in [[routes.segments]] (known: name, metadata, quality, budget_per_1k, explore)
    f.toml:22: `metadata` of [[routes.segments]] is no table; give the pairs that its requests have in x-satisfice-metadata, such as { team = "search" }
    f.toml:24: `metadata` of [[routes.segments]] is missing; give the pairs that its requests have in x-satisfice-metadata, such as { team = "search" }
    "#);
    let one = |i: usize| format!("[[routes.segments]]\nname = \"s{i}\"\nmetadata = {{ n = \"{i}\" }}\nquality = 0.9\n");
    let all = |n: usize| with_segments(&(0..n).map(one).collect::<String>());
    assert_eq!(read(&all(32)).unwrap().gateway.routes[0].segments.len(), 32);
    assert_eq!(mistakes(&all(33)), "f.toml:132: more than 32 segments of one route; make another route of some");
}

#[test]
fn flags_beat_the_file() {
    let text = format!("[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"x\"\n[deadlines]\nidle_s = 0.5\n{SMALL}");
    let flags = Flags { listen: Some("127.0.0.1:2".parse().unwrap()), ..Flags::default() };
    let setup = read_with(&text, &flags).unwrap();
    assert_eq!(setup.server.listen.port(), 2);
    assert_eq!(setup.data_dir.to_str(), Some("x"));
    assert_eq!(setup.gateway.deadlines.idle, Duration::from_millis(500));
}

#[test]
fn an_open_address_needs_keys_wherever_it_was_said() {
    let flags = Flags { listen: Some("0.0.0.0:0".parse().unwrap()), ..Flags::default() };
    let refused = read_with(SMALL, &flags).unwrap_err().to_string();
    assert!(refused.contains("0.0.0.0:0") && refused.contains("api_keys"), "{refused}");
    let with_keys = format!("[server]\napi_keys = [\"env:GATEWAY_KEY\"]\n{SMALL}");
    assert_eq!(read_with(&with_keys, &flags).unwrap().server.api_keys[0].expose_secret(), "gk-1");
    assert!(read_with(&format!("[server]\napi_keys = []\n{SMALL}"), &flags).is_err());
    let flags = Flags { admin_listen: flags.listen, ..Flags::default() };
    let with_keys = format!("[server]\nadmin_keys = [\"env:GATEWAY_KEY\"]\n{SMALL}");
    assert_eq!(read_with(&with_keys, &flags).unwrap().server.admin_keys[0].expose_secret(), "gk-1");
    assert!(read_with(SMALL, &flags).is_err());
}

#[test]
fn no_judge_is_called_as_other_scores_are() {
    for (name, whose) in [
        ("client", "clients' own scores"),
        ("format", "what the gateway finds"),
        ("reference", "what the gateway finds"),
    ] {
        let said = mistakes(&format!("{SMALL}\n[[scorers]]\nname = \"{name}\"\nkind = \"judge\"\nmodel = \"cheap\"\n"));
        assert!(said.contains(&format!("a scorer is called \"{name}\", as {whose}")), "{said}");
    }
}

#[test]
fn a_condition_that_could_never_be_told_is_a_mistake_of_its_line() {
    let text = format!(
        "{SMALL}\n[[routes]]\nname = \"auto\"\nmodels = [\"cheap\"]\n\
         [[routes.rules]]\nwhen = \"tools and metadata.n|size > 5\"\nmodels = [\"cheap\"]\n\
         [[routes.rules]]\nwhen = \"metadata.n|int > 5 and metadata.tier is defined\"\nmodels = [\"cheap\"]\n"
    );
    let said = mistakes(&text);
    let line = text.lines().position(|line| line.contains("size")).unwrap() + 1;
    assert!(said.starts_with(&format!("f.toml:{line}: `when` cannot be read: filter size is unknown")), "{said}");
    assert!(said.ends_with("give an expression such as \"tokens > 8000 and not tools\""), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn what_is_valid_and_worth_a_look_is_remarked() {
    let text = r#"
[[providers]]
name = "box"
kind = "openai"
base_url = "http://models.example/v1"
api_key = "written-out"
[[providers]]
name = "idle"
kind = "openai"
base_url = "https://api.openai.com/v1"
[[models]]
name = "llama"
provider = "box"
[[models]]
name = "gpt-5"
provider = "idle"
upstream_name = "gpt-5-2025-08-07"
[[models]]
name = "gpt-5"
provider = "box"
input_usd_per_mtok = 0
output_usd_per_mtok = 0
"#;
    insta::assert_snapshot!(remarks(&read(text).unwrap()).join("\n"), @r#"
    f.toml: there are no [[routes]]: "auto" is made of all 2 models
    f.toml:5: provider "box": prompts and key go unencrypted to models.example; use https://
    f.toml:6: `api_key` of provider "box" is written out; `env:NAME` keeps a secret out of the file
    f.toml:7: provider "idle" has no `api_key`, and api.openai.com asks for one
    f.toml:11: the price of model "llama" is not known; give `input_usd_per_mtok` and `output_usd_per_mtok`; until then it counts as its routes' dearest
    f.toml:14: the provider of model "gpt-5" retires it on 2026-12-11
    f.toml:19: "gpt-5" is one model at idle and box: its load is shared among them
    "#);
}

/// A file with one Bedrock provider of these keys and one model.
fn bedrock(keys: &str) -> String {
    format!(
        "[[providers]]\nname = \"aws\"\nkind = \"bedrock\"\n{keys}\n[[models]]\nname = \"haiku\"\nprovider = \"aws\"\n\
         upstream_name = \"us.anthropic.claude-haiku-4-5-20251001-v1:0\"\n"
    )
}

#[test]
fn bedrock_is_found_by_its_region_and_signs_or_has_a_key() {
    let signed = "aws_access_key_id = \"env:KEY\"\naws_secret_access_key = \"env:OPENAI_API_KEY\"\n";
    let setup = read(&bedrock(&format!("{signed}region = \"eu-west-1\""))).unwrap();
    let provider = &setup.providers[0];
    assert_eq!(provider.base_url.as_str(), "https://bedrock-runtime.eu-west-1.amazonaws.com/");
    assert_eq!(provider.aws.as_ref().unwrap().region, "eu-west-1");
    assert!(provider.api_keys.is_empty() && provider.aws.as_ref().unwrap().session_token.is_none());
    let price = setup.gateway.models[0].price.unwrap();
    assert_eq!((price.input, price.cached_input, price.cache_write), (1.1, Some(0.11), Some(1.375)));

    let arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc#";
    let profile =
        bedrock(&format!("{signed}region = \"eu-west-1\"")).replace("us.anthropic", &format!("{arn}us.anthropic"));
    assert_eq!(
        read(&profile).unwrap().gateway.models[0].price,
        Some(price),
        "it is known by what stands behind its ARN"
    );

    let by_host = "base_url = \"https://bedrock-runtime.us-west-2.amazonaws.com\"";
    let setup = read(&bedrock(&format!("{signed}{by_host}"))).unwrap();
    assert_eq!(setup.providers[0].aws.as_ref().unwrap().region, "us-west-2");
    let setup = read(&bedrock(&format!("api_key = \"env:KEY\"\n{by_host}"))).unwrap();
    assert!(setup.providers[0].aws.is_none() && !setup.providers[0].api_keys.is_empty());
}

#[test]
fn what_is_wrong_with_bedrocks_keys_is_said_with_its_line() {
    let problem = |keys: &str| mistakes(&bedrock(keys));
    let id = "aws_access_key_id = \"env:KEY\"";
    let both = "aws_access_key_id = \"env:KEY\"\naws_secret_access_key = \"env:KEY\"";
    for (keys, words) in [
        ("region = \"eu-west-1\"".to_owned(), "f.toml:1: Bedrock answers nobody without a key; give an `api_key`"),
        (format!("{both}\napi_key = \"env:KEY\"\nregion = \"eu-west-1\""), "f.toml:1: both an `api_key` and the keys"),
        (format!("{id}\nregion = \"eu-west-1\""), "f.toml:1: `aws_secret_access_key` of [[providers]] is missing"),
        (format!("{both}\nbase_url = \"https://proxy.example/\""), "f.toml:1: `region` of [[providers]] is missing"),
        (both.to_owned(), "f.toml:1: `region` of a provider of kind \"bedrock\" is missing; give one such as"),
        (format!("{both}\nregion = \"EU west\""), "f.toml:6: `region` \"EU west\" is no region"),
        (format!("{both}\nregion = \"eu-west-1\"\naws_session_token = \"env:NONE\""), "f.toml:7: `aws_session_token`"),
    ] {
        let said = problem(&keys);
        assert!(said.contains(words), "{said}");
    }
    let foreign = SMALL.replacen("[[models]]", "region = \"eu-west-1\"\n[[models]]", 1);
    assert!(mistakes(&foreign).contains("`region` belongs to providers of kind \"bedrock\""));
}

#[test]
fn no_secret_is_shown() {
    let with_headers = SMALL.replacen("[[models]]", "headers = { x-k = \"env:OPENAI_API_KEY\" }\n[[models]]", 1);
    let text = format!("[server]\napi_keys = [\"env:GATEWAY_KEY\"]\n{with_headers}");
    let shown = format!("{:?} {:?}", read(&text).unwrap(), environment());
    for secret in ["sk-1", "sk-2", "gk-1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_secret_that_is_typed_in_a_wrong_way_is_not_shown() {
    for typed in ["\"env:sk-2a9\"", "\"env:1_2A9\"", "\"env:\"", "20932093", "2093.5", "[\"sk-2a9\"]", "sk-2a9"] {
        let said = mistakes(&SMALL.replace("\"env:KEY\"", typed));
        assert!(!["2a9", "2A9", "2093"].iter().any(|part| said.contains(part)), "{typed}: {said}");
        assert!(said.contains("api_key") || said.contains("TOML"), "{typed}: {said}");
    }
    let named = mistakes(&SMALL.replace("\"env:KEY\"", "\"env:sk-2a9\""));
    assert!(named.contains("the variable's name here"), "{named}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &std::path::Path| {
        config::load(path, &environment(), &Flags::default(), &Catalogue::embedded().unwrap()).unwrap_err()
    };
    let missing = load(&folder.path().join("none.toml")).to_string();
    assert!(missing.contains("none.toml: cannot be read") && missing.contains("--config"), "{missing}");
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"# one\n# caf\xe9\n").unwrap();
    assert_eq!(load(&latin).findings[0].line, Some(2));
}

#[test]
fn the_environments_keys_become_a_configuration_that_can_be_saved() {
    let catalogue = Catalogue::embedded().unwrap();
    let environment = Environment::from_iter([
        ("OPENAI_API_KEY", "sk-o"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
        ("GROQ_API_KEY", "sk-g"),
        ("MISTRAL_API_KEY", ""),
        ("GEMINI_API_KEY", "g-1"),
        ("COHERE_API_KEY", "c-1"),
    ]);
    let made = config::from_environment(&environment, &Flags::default(), &catalogue).unwrap();
    let names: Vec<_> = made.setup.providers.iter().map(|p| (p.name.as_str(), p.base_url.as_str())).collect();
    assert_eq!(
        names,
        [
            ("openai", "http://127.0.0.1:9/v1"),
            ("gemini", "https://generativelanguage.googleapis.com/v1beta"),
            ("groq", "https://api.groq.com/openai/v1"),
            ("cohere", "https://api.cohere.com/v2"),
        ]
    );
    let wires: Vec<_> = made.setup.providers.iter().map(|p| p.wire).collect();
    assert_eq!(wires, [Wire::OpenAi, Wire::Gemini, Wire::OpenAi, Wire::Cohere]);
    assert!(!made.toml.contains("sk-"), "{}", made.toml);
    let again = config::parse(&made.toml, "saved", &environment, &Flags::default(), &catalogue).unwrap();
    assert_eq!(again.gateway, made.setup.gateway);
}

#[test]
fn every_known_provider_makes_a_configuration_without_remarks_and_with_all_prices() {
    let catalogue = Catalogue::embedded().unwrap();
    let keys = catalogue.providers.iter().filter_map(|p| Some((p.keys.first()?.clone(), "k".to_owned())));
    let made = config::from_environment(&keys.collect(), &Flags::default(), &catalogue).unwrap();
    assert_eq!(remarks(&made.setup), Vec::<String>::new());
    for (model, origin) in made.setup.gateway.models.iter().zip(&made.setup.origins) {
        let PriceOrigin::Catalogue(fact) = origin else { panic!("{} has no price", model.id) };
        assert!(model.upstream_name.ends_with(&*fact.model), "{} was taken for {fact}", model.upstream_name);
    }
    let mut names: Vec<_> = made.setup.gateway.models.iter().map(|m| m.id.model.to_lowercase()).collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn neither_file_nor_key_says_how_to_get_further() {
    let empty = Environment::default();
    let none = config::from_environment(&empty, &Flags::default(), &Catalogue::embedded().unwrap()).unwrap_err();
    assert!(matches!(none, NoKeys::Nothing { .. }));
    for way in ["OPENAI_API_KEY", "satisfice.example.toml", "satisfice demo"] {
        assert!(none.to_string().contains(way), "{none}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_setup_or_mistakes(text in ".{0,200}") {
        let _ = read(&text);
    }

    /// Pieces of real files cut out, doubled and put elsewhere.
    #[test]
    fn any_mutation_of_a_file_is_a_setup_or_mistakes_on_its_lines(
        from in 0usize..4000, length in 0usize..80, to in 0usize..4000, with in "[\\[\\]{}\"'=,.#\n a-z0-9éﬀ\u{0}-]{0,6}", wrong: bool,
    ) {
        let text: Vec<char> = if wrong { WRONG.chars().collect() } else { EXAMPLE.chars().collect() };
        let (from, to) = (from.min(text.len()), to.min(text.len()));
        let piece = &text[from..(from + length).min(text.len())];
        let mutated: String = text[..to].iter().chain(piece).copied().chain(with.chars()).chain(text[to..].iter().skip(length).copied()).collect();
        let lines = mutated.lines().count() + 1;
        if let Err(mistakes) = read(&mutated) {
            prop_assert!(!mistakes.findings.is_empty());
            prop_assert!(mistakes.findings.iter().all(|f| f.line.is_none_or(|line| (1..=lines).contains(&line))));
        }
    }
}

/// [`SMALL`] with a route and a judge; `route` and `judge` are lines of theirs.
fn judged(route: &str, judge: &str) -> String {
    format!(
        "{SMALL}[[routes]]\nname = \"auto\"\nmodels = [\"cheap\"]\n{route}\n\
         [[scorers]]\nname = \"strict\"\nkind = \"judge\"\nmodel = \"gpt-4o\"\n{judge}\n"
    )
}

#[test]
fn a_route_is_shadowed_where_a_scorer_can_judge_it() {
    let shadow = |text: &str| read(text).unwrap().gateway.routes[0].shadow;
    assert_eq!(shadow(SMALL), 0.0);
    assert_eq!(shadow(&judged("", "")), 0.01);
    assert_eq!(shadow(&judged("shadow = 0", "")), 0.0);
    assert_eq!(shadow(&judged("shadow = 1", "")), 1.0);
    assert_eq!(shadow(&judged("scorers = []", "")), 0.0);
}

#[test]
fn a_shadow_that_nobody_judges_is_worth_a_look_and_so_is_a_judge_of_itself() {
    let setup = read(&judged("shadow = 0.2\nscorers = []", "")).unwrap();
    assert_eq!(setup.gateway.routes[0].shadow, 0.2, "it was asked for");
    let remarks = remarks(&setup).join("\n");
    assert!(remarks.contains("f.toml:20: `shadow` asks the best model too, and no scorer"), "{remarks}");
    let own = read(&judged("", "").replace("[\"cheap\"]", "[\"cheap\", \"gpt-4o\"]")).unwrap();
    assert!(own.remarks.iter().any(|remark| remark.text.contains("prefer their own answers")), "{:?}", own.remarks);
}

#[test]
fn a_judge_has_defaults_and_its_mistakes_have_lines() {
    let setup = read(&judged("", "share = 0.25\nweight = 1")).unwrap();
    let judge = &setup.judging["auto"][0];
    assert_eq!((judge.name.as_str(), judge.model.id.to_string().as_str()), ("strict", "openai/gpt-4o"));
    assert_eq!((judge.share, judge.weight), (0.25, 1.0));
    assert!(read(&judged("", "")).unwrap().judging["auto"][0].rubric.contains("correct"));
    let text = judged("shadow = 1.5\nscorers = [\"strct\"]", "share = -1\nweight = 0\nrubric = \" \"");
    let text = text.replace("model = \"gpt-4o\"", "model = \"gpt-5o\"").replace("\"judge\"", "\"jury\"");
    insta::assert_snapshot!(mistakes(&text), @r#"
    f.toml:20: `shadow` of [[routes]] is 1.5; give a share of requests from 0 to 1, such as 0.01
    f.toml:21: unknown scorer "strct"; did you mean "strict"? (there are: strict)
    f.toml:24: `kind` of [[scorers]] is "jury"; give "judge"
    f.toml:25: unknown model "gpt-5o"; did you mean "gpt-4o"? (there are: cheap, gpt-4o)
    f.toml:26: `share` of [[scorers]] is -1; give a share of answers from 0 to 1
    f.toml:27: `weight` of [[scorers]] is 0; give a number above 0 and up to 1, what a client's own score counts
    f.toml:28: `rubric` is empty; give what the judge is to grade by, in plain words, or leave it out
    "#);
}

#[test]
fn the_cache_is_off_until_a_route_has_it() {
    let setup = read(SMALL).unwrap();
    assert!(setup.gateway.routes.iter().all(|route| route.cache.is_none()));
    assert_eq!(setup.gateway.cache, CacheSettings::default());
    assert_eq!((setup.gateway.cache.disk_bytes, setup.gateway.cache.models), (None, None));

    let route = format!("{SMALL}[[routes]]\nname = \"auto\"\nmodels = [\"cheap\"]\n");
    let cache = "[cache]\nmemory_mib = 2\ndisk_mib = 1\nttl_s = 90\nmodels = true\n";
    let setup = read(&format!("{route}[routes.cache]\nsemantic_threshold = 0.9\n{cache}")).unwrap();
    let rule = |semantic_threshold| CacheRule { ttl: Duration::from_secs(90), semantic_threshold };
    assert_eq!(setup.gateway.routes[0].cache, Some(rule(Some(0.9))));
    let settings = CacheSettings { memory_bytes: 2 << 20, disk_bytes: Some(1 << 20), models: Some(rule(None)) };
    assert_eq!(setup.gateway.cache, settings);
    let setup = read(&format!("{route}[routes.cache]\nttl_s = 30\n{cache}")).unwrap();
    assert_eq!(setup.gateway.routes[0].cache.unwrap().ttl, Duration::from_secs(30));
}

#[test]
fn what_cannot_be_of_a_cache_says_so() {
    let wrong = "[cache]\nmemory_mib = 0\ndisk_mib = -1\nttl_s = 0\nmodels = 1\nsize = 1\n";
    let route =
        "[[routes]]\nname = \"auto\"\nmodels = [\"cheap\"]\n[routes.cache]\nsemantic_threshold = 1.5\nttl_s = 1e9\n";
    insta::assert_snapshot!(mistakes(&format!("{wrong}{SMALL}{route}")), @r#"
    f.toml:2: `memory_mib` of [cache] is 0; give a whole number from 1 to 1048576
    f.toml:3: `disk_mib` of [cache] is -1; give a whole number from 1 to 1048576
    f.toml:4: `ttl_s` of [cache] is 0; give seconds from 1 to 2592000, which are 30 days
    f.toml:5: `models` of [cache] is 1; give true or false
    f.toml:6: unknown key `size` in [cache] (known: memory_mib, disk_mib, ttl_s, models)
    f.toml:27: `semantic_threshold` of [routes.cache] is 1.5; give a cosine above 0 and up to 1, such as 0.95; leave it out, and only the same request has the same answer
    f.toml:28: `ttl_s` of [routes.cache] is 1e9; give seconds from 1 to 2592000, which are 30 days
    "#);
    let remarks = |text: &str| read(text).unwrap().remarks.into_iter().map(|r| r.text).collect::<Vec<_>>().join("\n");
    let unused = remarks(&format!("[cache]\ndisk_mib = 65\n{SMALL}"));
    assert!(unused.contains("nothing is cached: add [routes.cache]"), "{unused}");
    assert!(unused.contains("`disk_mib` is more than `memory_mib`"), "{unused}");
}

#[test]
fn a_classifier_of_the_command_line_that_is_not_there_names_the_flag() {
    let flags = Flags { classifier: Some("nowhere".into()), ..Flags::default() };
    let text = read_with(SMALL, &flags).unwrap_err().to_string();
    assert!(text.starts_with("f.toml: the classifier nowhere has no manifest.json; give a folder"), "{text}");
    assert!(text.ends_with("(--model, or `path` in [classifier])"), "{text}");
    // A gateway that has read it already goes on without it.
    assert!(read_with(SMALL, &Flags { loaded: flags.classifier.clone(), ..flags }).is_ok());
}

#[test]
fn a_table_of_a_route_is_called_as_it_is_written() {
    let route = "[[routes]]\nname = \"auto\"\nmodels = [\"cheap\"]\n";
    let text = mistakes(&format!("{SMALL}{route}[routes.cache]\nmemory_mib = 1\n[routes.fallbacks]\nrate = []\n"));
    assert!(text.contains("unknown key `memory_mib` in [routes.cache] (known: "), "{text}");
    assert!(text.contains("unknown key `rate` in [routes.fallbacks]"), "{text}");
}

#[test]
fn a_model_that_makes_embeddings_is_of_a_provider_that_can_be_asked_for_them() {
    let text = mistakes(&format!(
        "{SMALL}[[providers]]\nname = \"claude\"\nkind = \"anthropic\"\napi_key = \"env:KEY\"\n\
         [[models]]\nname = \"vectors\"\nprovider = \"claude\"\nkind = \"embedding\"\n"
    ));
    let line = SMALL.lines().count() + 5;
    assert!(text.starts_with(&format!("f.toml:{line}: the model \"vectors\" makes embeddings, which")), "{text}");
}

#[test]
fn an_unknown_provider_is_said_beside_what_is_wrong_with_the_models_name() {
    let text =
        mistakes(&SMALL.replace("name = \"cheap\"\nprovider = \"openai\"", "name = \"a b\"\nprovider = \"opnai\""));
    assert!(text.contains("the name \"a b\" holds a slash, white space"), "{text}");
    assert!(text.contains("unknown provider \"opnai\"; did you mean \"openai\"?"), "{text}");
}

#[test]
fn a_data_folder_that_is_a_file_or_lies_in_one_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    std::fs::write(&file, "text").unwrap();
    let text = mistakes(&format!("[server]\ndata_dir = {:?}\n{SMALL}", file.to_str().unwrap()));
    let remedy = "choose another folder (--data-dir, or `data_dir` in [server])";
    assert_eq!(text, format!("f.toml:2: the data folder {} is a file; {remedy}", file.display()));
    let flags = Flags { data_dir: Some(file.join("below")), ..Flags::default() };
    let text = read_with(SMALL, &flags).unwrap_err().to_string();
    assert_eq!(text, format!("f.toml: the data folder {} would lie in a file; {remedy}", file.join("below").display()));
    let flags = Flags { data_dir: Some(folder.path().join("not/there/yet")), ..Flags::default() };
    assert!(read_with(SMALL, &flags).is_ok());
}
