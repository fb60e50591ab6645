//! What the load is put on: private stores, and a server on them.

mod server;
mod stores;

pub(crate) use server::Server;
pub(crate) use stores::{StoreSet, Stores};
