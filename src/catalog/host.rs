//! Whose machine a host names.

use std::net::IpAddr;

/// Whether `host`, without a port, is this machine by its name or its address: `localhost`, also as `localhost.`, and the
/// loopback of IPv4, of IPv6 (in brackets or not), and of IPv4 written as IPv6.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_every_name_of_its_own() {
        for ours in ["localhost", "LocalHost.", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in ["", "example.com", "localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "0.0.0.0", "[::]"] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }
}
