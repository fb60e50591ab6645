//! The contract's table, asked of the functions as gateways ask them: a whole purchase, and everything else.

use bms_adapters_http::testing;

use crate::deployment::{Deployment, Form, Servers};

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_answered_as_it_says_through_a_rest_api() {
    let servers = Servers::start().await;
    testing::run(&mut Deployment::start(&servers, Form::V1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_answered_as_it_says_through_an_http_api() {
    let servers = Servers::start().await;
    testing::run(&mut Deployment::start(&servers, Form::V2).await).await;
}
