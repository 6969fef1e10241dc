//! `[server]` and `[deadlines]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{path, seconds};
use crate::config::environment::{Environment, secret};
use crate::config::section::{Located, Section};

#[derive(Debug, Default)]
pub(in crate::config) struct Server {
    pub(in crate::config) listen: Option<Located<SocketAddr>>,
    pub(in crate::config) admin_listen: Option<Located<SocketAddr>>,
    pub(in crate::config) data_dir: Option<Located<PathBuf>>,
    pub(in crate::config) api_keys: Vec<SecretString>,
    /// The file lists keys, be they valid or not.
    pub(in crate::config) has_api_keys: bool,
    pub(in crate::config) admin_keys: Vec<SecretString>,
    pub(in crate::config) has_admin_keys: bool,
    pub(in crate::config) max_body_mib: Option<u32>,
    pub(in crate::config) traces_days: Option<u32>,
    pub(in crate::config) traces_gib: Option<f64>,
    pub(in crate::config) attempts: Option<u32>,
    pub(in crate::config) unlearn: Vec<String>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct Deadlines {
    pub(in crate::config) connect: Option<Duration>,
    pub(in crate::config) first_byte: Option<Duration>,
    pub(in crate::config) idle: Option<Duration>,
    pub(in crate::config) total: Option<Duration>,
}

impl Server {
    pub(super) fn read(section: &mut Section<'_, '_>, environment: &Environment) -> Self {
        let (api_keys, has_api_keys) = keys(section, "api_keys", environment);
        let (admin_keys, has_admin_keys) = keys(section, "admin_keys", environment);
        Self {
            api_keys,
            has_api_keys,
            admin_keys,
            has_admin_keys,
            listen: address(section, "listen"),
            admin_listen: address(section, "admin_listen"),
            data_dir: path(section, "data_dir", "a folder such as \"data\""),
            max_body_mib: section.whole("max_body_mib", 1, 1024).map(|n| n.value),
            traces_days: section.whole("traces_days", 1, 36_500).map(|n| n.value),
            traces_gib: gib(section, "traces_gib"),
            attempts: section.whole("attempts", 1, 10).map(|n| n.value),
            unlearn: sources(section),
        }
    }
}

impl Deadlines {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            connect: seconds(section, "connect_s"),
            first_byte: seconds(section, "first_byte_s"),
            idle: seconds(section, "idle_s"),
            total: seconds(section, "total_s"),
        }
    }
}

/// The valid ones, and whether the file lists any.
fn keys(section: &mut Section<'_, '_>, name: &'static str, environment: &Environment) -> (Vec<SecretString>, bool) {
    let keys = section.strings(name, "a list such as [\"env:SATISFICE_KEY\"]");
    let none = keys.as_ref().is_some_and(|keys| keys.value.is_empty());
    let (keys, what) = (keys.map_or(vec![], |keys| keys.value), format!("a key of `{name}`"));
    let valid = keys.iter().filter_map(|key| secret(key, &what, environment, section.findings));
    (valid.collect(), section.had(name) && !none)
}

/// Sorted: their order means nothing.
fn sources(section: &mut Section<'_, '_>) -> Vec<String> {
    let typed = section.strings("unlearn", "a list of sources of scores, such as [\"judge\"]");
    let mut sources: Vec<String> = typed.into_iter().flat_map(|typed| typed.value).map(|source| source.value).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

fn gib(section: &mut Section<'_, '_>, key: &'static str) -> Option<f64> {
    Some(section.number(key, 0.01..1_048_576.0, true, "GiB from 0.01 to 1048576")?.value)
}

fn address(section: &mut Section<'_, '_>, key: &'static str) -> Option<Located<SocketAddr>> {
    let typed = section.string(key, "an IP address and a port, such as \"127.0.0.1:8080\"")?;
    match typed.value.parse() {
        Ok(value) => Some(Located { value, line: typed.line }),
        Err(_) => {
            let remedy = "give an IP address and a port, such as \"127.0.0.1:8080\"";
            section.findings.mistake(typed.line, format!("`{key}` \"{}\" is no address; {remedy}", typed.value));
            None
        }
    }
}
