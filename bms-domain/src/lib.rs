#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod catalogue;
pub mod error;
pub mod event;
pub mod hold;
pub mod id;
pub mod layout;
#[cfg(feature = "memory")]
pub mod memory;
pub mod money;
mod names;
pub mod order;
pub mod payment;
pub mod seat;
pub mod service;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;

pub use error::Error;
pub use service::BookingService;
