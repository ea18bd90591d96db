//! Calls over HTTP.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use comanda_proto::v1::CreateOrderRequest;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tracing::debug;

use crate::generator::Outcome;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that keeps its connections: as many as there are calls at once.
pub fn client() -> Result<Client> {
    // reqwest demands a provider of ciphers even for plain HTTP. An error says that there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(Client::builder().no_proxy().timeout(CALL_TIMEOUT).build()?)
}

/// Whether a gateway says that it serves.
pub async fn serves(address: SocketAddr) -> Option<()> {
    let answer = client().ok()?.get(format!("http://{address}/healthz")).send().await.ok()?;
    answer.status().is_success().then_some(())
}

/// A gateway that takes orders.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: Client,
    orders: String,
}

impl Gateway {
    /// The one at this address.
    pub fn at(address: SocketAddr) -> Result<Self> {
        Ok(Self { client: client()?, orders: format!("http://{address}/v1/orders") })
    }

    /// Creates an order by POST /v1/orders, with its request id as Idempotency-Key.
    pub async fn create(&self, order: CreateOrderRequest) -> Outcome {
        let call = self.client.post(&self.orders).json(&body(&order));
        let key = order.request_id;
        outcome(if key.is_empty() { call } else { call.header("idempotency-key", key) }.send().await).await
    }
}

/// What came of a call. The answer is read to its end, as by a client that wants to know its order.
pub async fn outcome(answer: reqwest::Result<Response>) -> Outcome {
    let read = async {
        let answer = answer?;
        let status = answer.status();
        answer.bytes().await.map(|_| status)
    };
    match read.await {
        Ok(StatusCode::OK | StatusCode::CREATED) => Outcome::Done,
        Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => Outcome::Refused,
        other => {
            debug!("a call failed: {other:?}");
            Outcome::Failed
        }
    }
}

/// What [`crate::orders::order`] makes, as JSON. Written by hand: a general way would cost the generator more than the gateway.
fn body(order: &CreateOrderRequest) -> Value {
    let customer = order.customer.as_ref().map(|customer| {
        json!({
            "customerId": customer.customer_id,
            "name": customer.name,
            "email": customer.email,
            "locale": customer.locale,
        })
    });
    let items = order.items.iter().map(|item| {
        let price = item.unit_price.as_ref().map(|price| {
            json!({ "currencyCode": price.currency_code, "units": price.units.to_string(), "nanos": price.nanos })
        });
        json!({ "sku": item.sku, "name": item.name, "quantity": item.quantity, "unitPrice": price })
    });
    json!({ "customer": customer, "items": items.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::order;

    #[test]
    fn an_order_is_the_same_in_json() {
        let asked = CreateOrderRequest { request_id: String::new(), ..order(7, true) };
        let pool = prost_reflect::DescriptorPool::decode(comanda_proto::DESCRIPTORS).expect("descriptors");
        let message = pool.get_message_by_name("comanda.v1.CreateOrderRequest").expect("there");
        let read = prost_reflect::DynamicMessage::deserialize(message, body(&asked)).expect("canonical JSON");
        assert_eq!(read.transcode_to::<CreateOrderRequest>().expect("the same message"), asked);
    }
}
