use comanda_kit::testing::outside::damaged;
use proptest::{collection::vec, prelude::*};

use super::*;

fn record(order_id: Uuid, version: i64) -> Record {
    let event = OrderTransition {
        order_id: order_id.to_string(),
        version,
        workflow: "ride".into(),
        workflow_revision: 1,
        to_status: "requested".into(),
        ..OrderTransition::default()
    };
    let (key, payload) = (order_id.to_string().into_bytes(), event.encode_to_vec());
    Record { topic: "order-transitions".into(), key, payload, ..Record::default() }
}

#[test]
fn of_each_order_the_newest_version_counts() {
    let seen = |order, version| decode(&record(Uuid::from_u128(order), version)).expect("whole");
    let latest = latest(vec![seen(1, 2), seen(2, 1), seen(1, 3), seen(1, 1)]);
    let versions: Vec<_> = latest.values().map(|seen| seen.version).collect();
    assert_eq!(versions, [3, 1]);
}

proptest! {
    #[test]
    fn a_damaged_record_never_tells_of_another_order(order_id in any::<u128>(), changes in vec(any::<(u16, u8)>(), 1..4)) {
        let order_id = Uuid::from_u128(order_id);
        let whole = record(order_id, 1);
        prop_assert_eq!(decode(&whole).map(|seen| seen.order_id), Some(order_id));
        let payload = damaged(&whole.payload, &changes);
        let read = decode(&Record { payload, ..whole.clone() });
        prop_assert!(read.is_none_or(|seen| seen.order_id == order_id));
        let key = damaged(&whole.key, &changes);
        let read = decode(&Record { key, ..whole });
        prop_assert!(read.is_none_or(|seen| seen.order_id == order_id));
    }
}
