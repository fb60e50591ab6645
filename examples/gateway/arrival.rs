//! A request on its way in: who sent it, and what it may say of itself.

use std::net::{IpAddr, SocketAddr};

use axum::Extension;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers of one connection, which end at it, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// How many proxies in front append to `X-Forwarded-For`.
#[derive(Clone, Copy)]
pub(crate) struct TrustedProxies(pub(crate) usize);

/// Finds out who asks, which the rate is limited by, and replaces what only proxies may say.
pub(crate) async fn arrive(
    Extension(TrustedProxies(trusted)): Extension<TrustedProxies>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers_mut();
    let way = way_here(headers, peer.ip(), trusted);
    let proto = headers.remove(&FORWARDED_PROTO).filter(|_| trusted > 0).unwrap_or(HeaderValue::from_static("http"));
    let host = headers.remove(&FORWARDED_HOST).filter(|_| trusted > 0).or_else(|| headers.get(header::HOST).cloned());
    remove_hop_by_hop(headers);
    remove_claims(headers);
    let chain = way.iter().rev().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    headers.insert(FORWARDED_PROTO, proto);
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host);
    }
    let client = way.last().copied().unwrap_or(peer.ip());
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
    next.run(request).await
}

/// Whom this was sent by, and whom before, as far as they are to be believed: the client is the last.
fn way_here(headers: &HeaderMap, peer: IpAddr, trusted: usize) -> Vec<IpAddr> {
    let told = headers.get_all(FORWARDED_FOR).iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let believed = told.take(trusted).map_while(address);
    std::iter::once(peer).chain(believed).collect()
}

/// An address as proxies write it: some with the port behind it. What else the header has, a client may have made up.
fn address(said: &[u8]) -> Option<IpAddr> {
    let said = std::str::from_utf8(said).ok()?.trim();
    let with_port = || said.parse().map(|address: SocketAddr| address.ip()).ok();
    let in_brackets = || said.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    said.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// Removes what was meant for the connection it came by.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|value| value.split(',')).filter_map(|name| HeaderName::try_from(name.trim()).ok()).collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Removes what a client must not say: whom it comes from, and what a cloud's own gateways would say of it. The host is that of
/// the gateway, and whether to go on with a body is for the gateway to say.
fn remove_claims(headers: &mut HeaderMap) {
    let claims = ["x-forwarded-", "x-amz-", "x-amzn-", "x-apigateway-"];
    let is_claim = |name: &HeaderName| claims.iter().any(|claim| name.as_str().starts_with(claim));
    let claimed: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    let others = [header::FORWARDED, HeaderName::from_static("x-real-ip"), header::HOST, header::EXPECT];
    for name in claimed.iter().chain(&others) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn appended(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_what_trusted_proxies_append_counts() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let said = appended(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "3.3.3.3,10.0.0.2")]);
        for (trusted, client, length) in
            [(0, "10.0.0.1", 1), (1, "10.0.0.2", 2), (2, "3.3.3.3", 3), (3, "2.2.2.2", 4), (9, "1.1.1.1", 5)]
        {
            let way = way_here(&said, peer, trusted);
            assert_eq!((way.last().unwrap().to_string().as_str(), way.len()), (client, length), "{trusted}");
        }
        let nonsense = headers(&[("x-forwarded-for", "1.1.1.1, unknown")]);
        assert_eq!(way_here(&nonsense, peer, 2), [peer]);
    }

    #[test]
    fn addresses_count_however_they_are_written_and_whatever_stands_beside_them() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        for (said, client) in [
            (&b"198.51.100.7"[..], "198.51.100.7"),
            (b"198.51.100.7:4711", "198.51.100.7"),
            (b"2001:db8::1", "2001:db8::1"),
            (b"[2001:db8::1]:4711", "2001:db8::1"),
            (b"[2001:db8::1]", "2001:db8::1"),
            (b"caf\xe9, 198.51.100.7", "198.51.100.7"),
            (b"\xff,\t198.51.100.7 ", "198.51.100.7"),
            (b"198.51.100.7, caf\xe9", "10.0.0.1"),
            (b"198.51.100.7, [198.51.100.8", "10.0.0.1"),
            (b"", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, HeaderValue::from_bytes(said).unwrap());
            assert_eq!(way_here(&headers, peer, 1).last().unwrap().to_string(), client, "{said:?}");
        }
    }

    #[test]
    fn what_belongs_to_a_connection_or_a_cloud_stays_behind() {
        let mut said = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-forwarded-prefix", "/x"),
            ("x-amzn-oidc-identity", "root"),
            ("x-amz-date", "now"),
            ("forwarded", "for=1.1.1.1"),
            ("host", "shop.example"),
            ("authorization", "Bearer t"),
            ("idempotency-key", "k"),
        ]);
        remove_hop_by_hop(&mut said);
        remove_claims(&mut said);
        let mut left: Vec<&str> = said.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "idempotency-key"]);
    }
}
