//! Links to the pages on which customers follow their orders.

use std::sync::Arc;

use anyhow::{Result, bail};
use comanda_kit::tracking::Keys;
use uuid::Uuid;

/// Where the pages are, and the keys of their tokens.
#[derive(Debug)]
pub struct Pages {
    /// Without a slash at its end.
    address: String,
    keys: Arc<Keys>,
}

impl Pages {
    /// `None` where mails have no links.
    pub fn of(public_url: Option<&str>, keys: Option<Arc<Keys>>) -> Result<Option<Self>> {
        let Some(address) = public_url else { return Ok(None) };
        match keys {
            Some(keys) if keys.can_sign() => Ok(Some(Self { address: address.trim_end_matches('/').to_owned(), keys })),
            _ => bail!("--public-url puts links into mails, which need --tracking-keys with a private key"),
        }
    }

    /// The page of an order.
    pub fn of_order(&self, tenant: &str, order_id: Uuid) -> Option<String> {
        Some(format!("{}/t/{}", self.address, self.keys.token(tenant, order_id)?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use comanda_kit::tracking::{new_key, order_of};

    use super::*;

    fn keys() -> Arc<Keys> {
        let pem = new_key().expect("a key");
        Arc::new(Keys::of_pem(pem.as_bytes(), Duration::from_secs(60)).expect("valid"))
    }

    #[test]
    fn a_link_is_that_of_its_order() {
        let pages = Pages::of(Some("https://orders.example/"), Some(keys())).expect("valid").expect("links");
        let order_id = Uuid::now_v7();
        let link = pages.of_order("acme", order_id).expect("a link");
        let token = link.strip_prefix("https://orders.example/t/").expect("the page");
        assert_eq!(order_of(token), Some(order_id));
    }

    #[test]
    fn links_need_keys_and_keys_alone_make_none() {
        assert!(Pages::of(Some("https://orders.example"), None).is_err());
        assert!(Pages::of(None, Some(keys())).expect("valid").is_none());
    }
}
