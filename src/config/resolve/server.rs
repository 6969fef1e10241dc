//! Addresses, keys and limits of the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::file;
use crate::config::findings::Findings;
use crate::config::section::Located;
use crate::config::{Flags, folder_problem};
use crate::server::settings::ServerSettings;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
const DEFAULT_MAX_BODY_MIB: u32 = 32;
const DEFAULT_TRACES_DAYS: u32 = 30;
const DEFAULT_TRACES_GIB: f64 = 20.0;
const GIB: f64 = (1 << 30) as f64;
const DEFAULT_DATA_DIR: &str = "data";

pub(super) fn server(server: &file::Server, flags: &Flags, findings: &mut Findings) -> ServerSettings {
    let (own, admin) = (server.listen.as_ref(), server.admin_listen.as_ref());
    let (keys, admin_keys) = (server.has_api_keys, server.has_api_keys || server.has_admin_keys);
    let listen = listening("listen", flags.listen, own, DEFAULT_LISTEN, keys, findings);
    let admin_listen = listening("admin_listen", flags.admin_listen, admin, DEFAULT_ADMIN_LISTEN, admin_keys, findings);
    if listen == admin_listen && listen.port() != 0 {
        let line = server.admin_listen.as_ref().or(server.listen.as_ref()).map(|address| address.line);
        findings.mistake(line, format!("`listen` and `admin_listen` are both {listen}; give them different ports"));
    }
    let max_body_bytes = server.max_body_mib.unwrap_or(DEFAULT_MAX_BODY_MIB) as usize * 1024 * 1024;
    ServerSettings {
        listen,
        admin_listen,
        is_admin_asked_for: flags.admin_listen.is_some() || admin.is_some(),
        api_keys: server.api_keys.clone(),
        admin_keys: server.admin_keys.clone(),
        max_body_bytes,
        unlearned: server.unlearn.clone(),
        traces_days: server.traces_days.unwrap_or(DEFAULT_TRACES_DAYS),
        traces_bytes: (server.traces_gib.unwrap_or(DEFAULT_TRACES_GIB) * GIB) as u64,
    }
}

/// The address of a listener; another than loopback asks for keys.
fn listening(
    key: &str,
    flag: Option<SocketAddr>,
    typed: Option<&Located<SocketAddr>>,
    default: SocketAddr,
    has_keys: bool,
    findings: &mut Findings,
) -> SocketAddr {
    let line = if flag.is_some() { None } else { typed.map(|address| address.line) };
    let address = flag.or(typed.map(|address| address.value)).unwrap_or(default);
    if !address.ip().is_loopback() && !has_keys {
        let remedy = "set `api_keys` in [server], or listen on 127.0.0.1";
        findings
            .mistake(line, format!("`{key}` {address} is open to other machines, and nobody needs a key; {remedy}"));
    }
    address
}

/// The data folder, which need not be there yet.
pub(super) fn data_dir(typed: Option<Located<PathBuf>>, flags: &Flags, findings: &mut Findings) -> PathBuf {
    let flag = flags.data_dir.clone().map(|value| (value, None));
    let typed = typed.map(|folder| (folder.value, Some(folder.line)));
    let (folder, line) = flag.or(typed).unwrap_or_else(|| (DEFAULT_DATA_DIR.into(), None));
    if let Some(problem) = folder_problem(&folder) {
        findings.mistake(line, problem);
    }
    folder
}

/// The classifier's folder, if one is named. What is wrong in it is found once it is loaded.
pub(super) fn classifier(typed: Option<Located<PathBuf>>, flags: &Flags, findings: &mut Findings) -> Option<PathBuf> {
    let flag = flags.classifier.clone().map(|folder| (folder, None));
    let (folder, line) = flag.or(typed.map(|folder| (folder.value, Some(folder.line))))?;
    if flags.loaded.as_ref() != Some(&folder) && !folder.join("manifest.json").is_file() {
        let remedy = "give a folder that `satisfice train` wrote (--model, or `path` in [classifier])";
        findings.mistake(line, format!("the classifier {} has no manifest.json; {remedy}", folder.display()));
    }
    Some(folder)
}
