//! The OpenAPI 3.1 document: what the routes and types say, and what is the same for all of them said once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required};
use utoipa::{PartialSchema as _, ToSchema};

use crate::dto::{ChangeBody, LayoutBody, ProblemBody, SnapshotBody};
use crate::problem::PROBLEM_JSON;
use crate::state::App;

const PROBLEM: &str = "Problem";

/// The document before any route has been added.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Booking API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Sells limited seats: browse, hold, order, pay. Errors are RFC 9457 problems; a client acts on the code in \
             `type` (`urn:bms:problem:<code>`). Every answer has an `X-Request-Id`.",
        ))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("`sub` is the user id; the scope `bms:admin` in `scope` opens the admin routes."))
        .build();
    let mut components = ComponentsBuilder::new().security_scheme("bearer", SecurityScheme::Http(bearer));
    let mut schemas = Vec::new();
    add::<ProblemBody>(&mut schemas);
    add::<SnapshotBody>(&mut schemas);
    add::<ChangeBody>(&mut schemas);
    add::<LayoutBody>(&mut schemas);
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    OpenApiBuilder::new().info(info).components(Some(components.build())).build()
}

/// A schema that no route names in its Rust types, with those that it refers to.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<utoipa::openapi::schema::Schema>)>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "getDocument", tag = "operation",
    responses((status = 200, content_type = "application/json", body = serde_json::Value, description = "This document")))]
pub(crate) async fn document(State(app): State<Arc<App>>) -> impl IntoResponse {
    let document = app.document.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], document)
}

/// The document as it is served: every operation with the answers that any route of its kind gives.
pub(crate) fn finish(mut api: OpenApi) -> serde_json::Result<Bytes> {
    for item in api.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, .. } = item;
        for operation in [get, put, delete].into_iter().flatten() {
            complete(operation, false);
        }
        for operation in post.iter_mut() {
            complete(operation, true);
        }
    }
    serde_json::to_vec(&api).map(Bytes::from)
}

fn complete(operation: &mut Operation, is_post: bool) {
    let probe = operation.operation_id.as_deref().is_some_and(|id| matches!(id, "isAlive" | "getMetrics"));
    let parameters = operation.parameters.get_or_insert_default();
    let has_query = parameters.iter().any(|it| matches!(it, RefOr::T(Parameter { parameter_in: ParameterIn::Query, .. })));
    let keyed = is_post && operation.security.is_some();
    if keyed {
        parameters.push(RefOr::T(idempotency_key()));
    }
    parameters.push(RefOr::T(request_id()));

    if has_query {
        say(operation, "400", "`malformed-request`: a field twice, or a required one missing");
        say(operation, "422", "`validation`");
    }
    if operation.request_body.is_some() {
        say(operation, "400", "`malformed-request`: not JSON, or not the shape");
        say(operation, "413", "`body-too-large`");
        say(operation, "415", "`unsupported-media-type`");
        say(operation, "422", "`validation`");
    }
    if keyed {
        say(operation, "400", "`malformed-request`: the `Idempotency-Key`");
        say(operation, "409", "`request-in-progress`");
        say(operation, "413", "`body-too-large`");
        say(operation, "422", "`idempotency-key-reused`");
    }
    if operation.security.is_some() {
        say(operation, "401", "`unauthenticated`");
    }
    if !probe {
        say(operation, "429", "`rate-limited`");
        say(operation, "503", "`unavailable`");
    }
    say(operation, "500", "`internal`");

    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            finish_response(status, response, keyed);
        }
    }
}

/// Adds an answer, or what else it may mean.
fn say(operation: &mut Operation, status: &str, meaning: &str) {
    let responses = &mut operation.responses.responses;
    let response = responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(ResponseBuilder::new().build()));
    if let RefOr::T(Response { description, .. }) = response {
        let comma = if description.is_empty() { "" } else { "; " };
        description.push_str(comma);
        description.push_str(meaning);
    }
}

fn finish_response(status: &str, response: &mut Response, keyed: bool) {
    let text = || HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    let mut header = |name: &str, meaning: &str| {
        response.headers.insert(name.to_owned(), RefOr::T(text().description(Some(meaning)).build()));
    };
    header("X-Request-Id", "The request's id, the client's or one that was made");
    match status {
        "401" => header("WWW-Authenticate", "`Bearer`"),
        "429" | "503" => header("Retry-After", "Seconds"),
        _ if keyed && status.starts_with('2') => header("Idempotency-Replayed", "`true` when this is the first answer again"),
        _ => {}
    }
    if status >= "400" && response.content.is_empty() {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
        response.content.insert(PROBLEM_JSON.to_owned(), content.into());
    }
}

fn idempotency_key() -> Parameter {
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]+$"))
        .build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The same key, user and body again gives the first answer again, for 24 hours"))
        .schema(Some(key))
        .build()
}

fn request_id() -> Parameter {
    ParameterBuilder::new()
        .name("X-Request-Id")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Taken when it is 1 to 128 visible ASCII characters, else one is made"))
        .schema(Some(String::schema()))
        .build()
}
