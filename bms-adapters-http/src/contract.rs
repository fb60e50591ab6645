//! The contract's operations, for whoever stands in front of those who serve them.

use axum::http::Method;
use utoipa::openapi::path::PathItem;

use crate::routes;

/// One operation of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// Its method; one that is `GET` is `HEAD`, too.
    pub method: Method,
    /// Its path, such as `/api/v1/holds/{holdId}`, as axum's routers and the OpenAPI document write it.
    pub path: String,
    /// Whether it answers 401 to a caller who is not known.
    pub needs_user: bool,
}

/// Every operation of the contract, of the one route table, probes included: what a gateway makes its own routes of.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let paths = routes::table(|_| true).into_openapi().paths.paths;
    paths.into_iter().flat_map(|(path, item)| of_path(&path, item)).collect()
}

fn of_path(path: &str, item: PathItem) -> Vec<Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    let methods = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    let of_method = |(method, operation): (Method, Option<utoipa::openapi::path::Operation>)| {
        let needs_user = operation?.security.is_some();
        Some(Operation { method, path: path.to_owned(), needs_user })
    };
    methods.into_iter().filter_map(of_method).collect()
}
