//! What must hold for every request of a watcher and for every record of the topic.

use comanda_kit::{
    access::Scope,
    errors::Violations,
    kafka::Record,
    page,
    testing::outside::{damaged, wrong_fields},
};
use comanda_notification::watch::{
    event::Event,
    filter::Filter,
    token::{InvalidToken, Offsets, Token},
};
use comanda_proto::{
    events::OrderTransition,
    v1::{Now, Phase, WatchFilter, WatchOrdersRequest, watch_orders_request::Start},
};
use proptest::{collection::vec, prelude::*};
use prost::Message;
use uuid::Uuid;

fn filter() -> impl Strategy<Value = WatchFilter> {
    let text = || prop_oneof![9 => "[a-zñ]{0,9}", 1 => any::<String>(), 1 => (63..66_usize).prop_map(|count| "ñ".repeat(count))];
    let phase = prop_oneof![9 => 1..6_i32, 1 => any::<i32>()];
    (text(), text(), vec(text(), 0..22), vec(phase, 0..22))
        .prop_map(|(customer_id, workflow, statuses, phases)| WatchFilter { customer_id, workflow, statuses, phases })
}

fn parse(filter: Option<WatchFilter>) -> Result<Filter, comanda_kit::errors::ApiError> {
    Filter::parse(Scope::built_in(), filter, Violations::default())
}

fn check(filter: Option<WatchFilter>) {
    match parse(filter) {
        Ok(filter) => {
            let WatchFilter { customer_id, workflow, statuses, phases } = filter.wanted();
            let texts = statuses.iter().chain([customer_id, workflow]);
            assert!(texts.clone().all(|text| !text.contains(char::is_control) && text.chars().count() <= 64));
            assert!(statuses.len() <= 20 && statuses.is_sorted());
            assert!(phases.is_sorted() && phases.iter().all(|phase| (1..=5).contains(phase)));
            assert_eq!(filter.hash(), page::filter_hash(&Scope::built_in(), filter.wanted()));
        }
        Err(error) => {
            let fields = wrong_fields(error);
            assert!(fields.iter().all(|field| field.starts_with("filter.")), "{fields:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_filter_is_what_the_database_can_compare_or_is_refused_by_field(filter in filter(), changes in vec(any::<(u16, u8)>(), 1..5)) {
        let request = WatchOrdersRequest { filter: Some(filter.clone()), start: Some(Start::Now(Now {})), ..Default::default() };
        check(Some(filter));
        if let Ok(request) = WatchOrdersRequest::decode(&*damaged(&request.encode_to_vec(), &changes)) {
            check(request.filter);
        }
    }

    #[test]
    fn a_damaged_token_is_refused_or_reads_as_its_bytes_say(
        epoch in 0..i64::MAX, offsets in vec(0..i64::MAX, 1..20), changes in vec(any::<(u16, u8)>(), 1..4)
    ) {
        let filter = parse(None).expect("no filter");
        let bytes = damaged(&Token::encode(epoch, filter.hash(), &Offsets::new(offsets)), &changes);
        match Token::decode(&bytes, filter.hash()) {
            // Protobuf can say the same with other bytes.
            Ok(token) => {
                let again = Token::encode(token.epoch, filter.hash(), &token.offsets);
                prop_assert_eq!(Token::decode(&again, filter.hash()), Ok(token));
            }
            Err(InvalidToken::OtherFilter | InvalidToken::Malformed) => {}
        }
    }

    #[test]
    fn a_damaged_record_is_no_event_or_one_that_can_be_shown(version in 1..100_i64, changes in vec(any::<(u16, u8)>(), 1..4)) {
        let transition = OrderTransition {
            order_id: Uuid::nil().to_string(),
            tenant: "default".into(),
            version,
            customer_id: "ana".into(),
            workflow: "delivery".into(),
            from_status: "received".into(),
            to_status: "preparing".into(),
            phase: Phase::Active.into(),
            ..Default::default()
        };
        let payload = damaged(&transition.encode_to_vec(), &changes);
        let key = transition.order_id.into_bytes();
        let record = Record { topic: "transitions".into(), offset: 7, key, payload: payload.clone(), ..Record::default() };
        if let Some(event) = Event::decode(&record) {
            prop_assert!(event.order_id.is_nil() && event.version > 0);
            prop_assert!(event.size_bytes >= payload.len());
            prop_assert!(event.frame.encode_to_vec().ends_with(&payload));
        }
    }
}
