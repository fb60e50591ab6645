#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod catalogue;
pub mod event;
pub mod hold;
pub mod id;
pub mod layout;
pub mod money;
pub mod order;
pub mod payment;
pub mod seat;
pub mod store;
pub mod time;
