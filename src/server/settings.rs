//! What the server listens on and lets in, validated. Made by `config`.

use std::net::SocketAddr;

use secrecy::SecretString;

/// The source of scores whose sender names none.
pub const DEFAULT_SOURCE: &str = "client";

/// One configuration of the server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Clients; another address than loopback only with `api_keys`.
    pub listen: SocketAddr,
    /// Operators: metrics, traces and what was learned.
    pub admin_listen: SocketAddr,
    /// Somebody asked for that address: where it is taken, the gateway does not go on without.
    pub is_admin_asked_for: bool,
    /// What clients may send as `authorization: Bearer …`; empty: everybody may ask.
    pub api_keys: Vec<SecretString>,
    /// The same at the operators' address; empty: `api_keys`.
    pub admin_keys: Vec<SecretString>,
    /// A longer request body is refused with 413.
    pub max_body_bytes: usize,
    /// Sources whose scores teach nothing, sorted.
    pub unlearned: Vec<String>,
    /// Trace bodies older than this are dropped; from 1.
    pub traces_days: u32,
    /// What trace bodies take on the disk at most.
    pub traces_bytes: u64,
}
