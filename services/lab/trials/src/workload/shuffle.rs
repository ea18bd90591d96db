//! Somebody who says by hand that a ride has its courier, and takes it back at once: steps that dispatch asked for meanwhile come too late.

use std::{sync::Arc, time::Duration};

use comanda_checker::history::Order;
use rand::{RngExt, rngs::StdRng};
use tokio::time::sleep;

use super::{clients::Clients, content, moves};

/// The statuses of the ride.
const THERE: &str = "confirmed";
const BACK: &str = "requested";
/// An order that was just created is not yet known to who moves it.
const FIRST_TRIES: usize = 40;
const AGAIN: Duration = Duration::from_millis(25);
/// Some come before dispatch has decided, some while its step is on its way, some too late.
const WITHIN_MS: u64 = 800;

/// Moves a ride there and back.
pub(super) async fn shuffle(clients: Arc<Clients>, name: String, order: Order, mut rng: StdRng) {
    let id = content::uuid(&mut rng);
    sleep(Duration::from_millis(rng.random_range(0..WITHIN_MS))).await;
    for _ in 0..FIRST_TRIES {
        let attempt = moves::advance(&clients, &name, &order.order_id, &id, THERE, &mut rng).await;
        if attempt.is_ok() {
            return back(&clients, &name, &order.order_id, &mut rng).await;
        }
        if attempt.code == tonic::Code::FailedPrecondition {
            return;
        }
        sleep(AGAIN).await;
    }
    // It may have been applied, whatever the last try was told.
    back(&clients, &name, &order.order_id, &mut rng).await;
}

/// For as long as it takes: a ride that was left there would wait for ever.
async fn back(clients: &Arc<Clients>, name: &str, order_id: &str, rng: &mut StdRng) {
    let id = content::uuid(rng);
    loop {
        let attempt = moves::advance(clients, name, order_id, &id, BACK, rng).await;
        if !attempt.may_be_repeated(true) {
            return;
        }
        sleep(AGAIN).await;
    }
}
