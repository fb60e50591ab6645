//! What a gateway's event says of a request, taken out with care: a client writes most of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::stream;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::request::LambdaRequest;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const XRAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// The parts of a request that `lambda_http` would panic over should they be malformed, or would change: it puts the stage of a
/// REST API in front of every path, and takes the last of a header's values for all of them.
#[derive(Default)]
pub(crate) struct Arrival {
    uri: Option<Uri>,
    host: Option<HeaderValue>,
    body: String,
    is_base64: bool,
    address: Option<IpAddr>,
    /// The gateway's name for the request.
    id: Option<String>,
}

impl Arrival {
    /// Takes them out of an event, so that the rest can be left to `lambda_http`.
    pub(crate) fn take_from(event: &mut LambdaRequest) -> Self {
        match event {
            LambdaRequest::ApiGatewayV1(event) => {
                only_all_values(&mut event.multi_value_headers, &mut event.headers);
                let context = &mut event.request_context;
                context.domain_name = None;
                let query = all_values(&mut event.multi_value_query_string_parameters, &mut event.query_string_parameters);
                Self {
                    uri: uri(&event.path.take().unwrap_or_default(), &encoded(&query)),
                    host: event.headers.remove(header::HOST),
                    body: event.body.take().unwrap_or_default(),
                    is_base64: std::mem::take(&mut event.is_base64_encoded),
                    address: address(context.identity.source_ip.as_deref()),
                    id: context.request_id.clone(),
                }
            }
            LambdaRequest::ApiGatewayV2(event) => {
                let context = &mut event.request_context;
                context.domain_name = None;
                let path = event.raw_path.take().unwrap_or_default();
                Self {
                    uri: uri(without_stage(&path, context.stage.as_deref()), &event.raw_query_string.take().unwrap_or_default()),
                    host: event.headers.remove(header::HOST),
                    body: event.body.take().unwrap_or_default(),
                    is_base64: std::mem::take(&mut event.is_base64_encoded),
                    address: address(context.http.source_ip.as_deref()),
                    id: context.request_id.clone(),
                }
            }
            LambdaRequest::Alb(event) => {
                only_all_values(&mut event.multi_value_headers, &mut event.headers);
                let query = all_values(&mut event.multi_value_query_string_parameters, &mut event.query_string_parameters);
                // A load balancer hands them on as they came.
                let query: Vec<String> = pairs(&query).map(|(name, value)| format!("{name}={value}")).collect();
                let forwarded = event.multi_value_headers.get("x-forwarded-for").or(event.headers.get("x-forwarded-for"));
                // The balancer appends whom it speaks to; what stands before is what that client says.
                let client = forwarded.and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
                Self {
                    uri: uri(&event.path.take().unwrap_or_default(), &query.join("&")),
                    address: address(client),
                    host: event.headers.remove(header::HOST),
                    body: event.body.take().unwrap_or_default(),
                    is_base64: std::mem::take(&mut event.is_base64_encoded),
                    id: None,
                }
            }
            _ => Self::default(),
        }
    }

    /// Puts them into the request that `lambda_http` has made of the rest. `invocation` names it where nobody else does.
    pub(crate) fn put_into(self, mut head: Parts, invocation: &str) -> Request<Body> {
        // What makes no sense as a path is no route's.
        head.uri = self.uri.unwrap_or_else(|| Uri::from_static("/-"));
        if let Some(host) = self.host {
            head.headers.entry(header::HOST).or_insert(host);
        }
        if let Some(address) = self.address {
            head.extensions.insert(ConnectInfo(SocketAddr::new(address, 0)));
        }
        if !head.headers.contains_key(REQUEST_ID)
            && let Ok(id) = HeaderValue::try_from(self.id.as_deref().unwrap_or(invocation))
        {
            head.headers.insert(REQUEST_ID, id);
        }
        if !head.headers.contains_key(TRACEPARENT)
            && let Some(parent) = head.headers.get(XRAY).and_then(traceparent)
        {
            head.headers.insert(TRACEPARENT, parent);
        }
        let body = if self.is_base64 { BASE64.decode(&self.body).ok().map(Bytes::from) } else { Some(self.body.into()) };
        let broken = || Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("the body is not base64"))]));
        Request::from_parts(head, body.map_or_else(broken, Body::from))
    }
}

/// Leaves the headers with all their values, where the event has them.
fn only_all_values(all: &mut HeaderMap, last: &mut HeaderMap) {
    if !all.is_empty() {
        // The host is looked for among the others.
        let host = last.remove(header::HOST);
        last.clear();
        last.extend(host.map(|host| (header::HOST, host)));
    }
}

fn all_values(all: &mut QueryMap, last: &mut QueryMap) -> QueryMap {
    let (all, last) = (std::mem::take(all), std::mem::take(last));
    if all.is_empty() { last } else { all }
}

/// A query whose names and values were decoded by the gateway.
fn encoded(query: &QueryMap) -> String {
    let pair = |(name, value): (String, String)| format!("{}={}", percent_encoded(&name, false), percent_encoded(&value, false));
    pairs(query).map(pair).collect::<Vec<_>>().join("&")
}

/// The names with each of their values. The map's own iterator panics over a name that has none.
fn pairs(query: &QueryMap) -> impl Iterator<Item = (String, String)> {
    let query: BTreeMap<String, Vec<String>> = serde_json::to_value(query).and_then(serde_json::from_value).unwrap_or_default();
    query.into_iter().flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)))
}

/// The path behind the stage of an HTTP API. Function URLs and the stage `$default` have none in front; a REST API never has.
fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    let stage = stage.filter(|stage| !stage.is_empty() && *stage != "$default");
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match rest {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

fn uri(path: &str, query: &str) -> Option<Uri> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mark = if query.is_empty() { "" } else { "?" };
    Uri::try_from(format!("{slash}{}{mark}{query}", percent_encoded(path, true))).ok()
}

/// Encodes what may not stand in a name or a value of a query, or in a path that may have been decoded on its way.
fn percent_encoded(text: &str, is_path: bool) -> String {
    let stays =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || is_path && b"/%!$&'()*+,;=:@".contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if stays(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text?.trim().parse().ok()
}

/// `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1` as W3C's trace context has it.
fn traceparent(xray: &HeaderValue) -> Option<HeaderValue> {
    let field = |name| xray.to_str().ok()?.split(';').find_map(|field| field.trim().strip_prefix(name));
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (time, rest) = field("Root=1-")?.split_once('-').filter(|(time, rest)| is_hex(time, 8) && is_hex(rest, 24))?;
    let parent = field("Parent=").filter(|parent| is_hex(parent, 16))?;
    let flags = if field("Sampled=") == Some("1") { "01" } else { "00" };
    HeaderValue::try_from(format!("00-{time}{rest}-{parent}-{flags}").to_ascii_lowercase()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_taken_off_once_and_only_as_a_whole() {
        for (path, stage, left) in [
            ("/prod/movies", Some("prod"), "/movies"),
            ("/prod", Some("prod"), "/"),
            ("/production/movies", Some("prod"), "/production/movies"),
            ("/movies/movies", Some("movies"), "/movies"),
            ("/movies", Some("$default"), "/movies"),
            ("/movies", None, "/movies"),
            ("/movies", Some(""), "/movies"),
        ] {
            assert_eq!(without_stage(path, stage), left, "{path} {stage:?}");
        }
    }

    #[test]
    fn whatever_a_path_holds_makes_an_address_or_none() {
        for (path, query, whole) in [
            ("/movies/a b", "", "/movies/a%20b"),
            ("/movies/%41?#", "x=1", "/movies/%41%3F%23?x=1"),
            ("movies", "", "/movies"),
            ("", "", "/"),
            ("//evil.example/x", "", "//evil.example/x"),
            ("/\u{0}\u{fc}", "", "/%00%C3%BC"),
        ] {
            assert_eq!(uri(path, query).unwrap().to_string(), whole);
        }
        assert_eq!(uri("/", "a b"), None);
    }

    #[test]
    fn traces_of_xray_go_on_as_traces_of_w3c() {
        let of = |text: &str| traceparent(&HeaderValue::from_str(text).unwrap());
        let whole = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(of(whole).unwrap(), "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
        for none in ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=2-x;Parent=53995c3f42cd8ad8", "Root=1-x-y;Parent=z"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
