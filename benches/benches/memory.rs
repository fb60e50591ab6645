//! How many bytes a held seat takes on the embedded store, counted by the allocator.
//!
//! Fills the 20,000-seat arena with two-seat holds and counts the bytes asked for meanwhile. Buckets and slots that are
//! allotted ahead count too. What a show costs before anything is held in it stands apart.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark, not a library")]
