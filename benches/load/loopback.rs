//! Loads are for servers on this machine alone.

use std::net::IpAddr;

use reqwest::Url;

/// Refuses a URL that leads elsewhere than to this machine. It may name several servers, separated by commas.
pub(crate) fn check(option: &str, url: &str) -> Result<(), String> {
    for one in hosts(url) {
        let host = one.map_err(|()| format!("{option}: this is not a URL that can be read"))?;
        let own =
            host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !own {
            return Err(format!(
                "{option}: {host} is not this machine; a load is put on loopback addresses only (127.0.0.1, ::1, localhost)"
            ));
        }
    }
    Ok(())
}

/// The host of each server that a URL names. What stands in front of a host may be secret, and is not told.
fn hosts(url: &str) -> impl Iterator<Item = Result<String, ()>> + '_ {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    url.split(',').map(move |one| {
        // The servers of a list after the first may do without the scheme.
        let whole = if one.contains("://") { one.trim().to_owned() } else { format!("{scheme}://{}", one.trim()) };
        let url = Url::parse(&whole).map_err(drop)?;
        // libpq's way to name another host than the one that stands in front.
        if url.query_pairs().any(|(name, _)| name == "host" || name == "hostaddr") {
            return Err(());
        }
        url.host_str().filter(|host| !host.is_empty()).map(str::to_owned).ok_or(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loaded() {
        for own in [
            "http://127.0.0.1:8080",
            "http://localhost:8080/",
            "redis://user:pass@127.0.0.1:6379/0",
            "redis://127.0.0.1:1,redis://127.0.0.2:2,[::1]:3",
            "postgres://u@[::1]:5432/db",
        ] {
            assert_eq!(check("--url", own), Ok(()), "{own}");
        }
        for other in [
            "http://10.0.0.1:8080",
            "https://tickets.example.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "redis://127.0.0.1:1,redis://example.com:2",
            "redis://127.0.0.1:1,example.com:2",
            "postgres:///db?host=example.com",
            "postgres://127.0.0.1/db?host=example.com",
            "127.0.0.1:8080",
            "",
        ] {
            assert!(check("--url", other).is_err(), "{other}");
        }
        assert!(check("--redis-url", "redis://u:canary@example.com").is_err_and(|error| !error.contains("canary")));
    }
}
