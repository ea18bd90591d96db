use std::time::Duration;

use comanda_kit::{
    access::{DEFAULT_TENANT, Scope},
    errors::Violations,
};
use comanda_proto::{access::Role, events::OrderTransition};

use super::*;
use crate::watch::token::Token;

const LIMITS: Limits = Limits { count: 100, bytes: 1_000_000, age: Duration::from_secs(600) };

fn event(offset: i64, version: i64) -> Event {
    let (order_id, tenant) = (Uuid::nil().to_string(), DEFAULT_TENANT.to_owned());
    let transition = OrderTransition { order_id, tenant, version, ..Default::default() };
    Event::of_transition(0, offset, transition).expect("a transition")
}

fn hub() -> Arc<Hub> {
    let hub = Hub::new(LIMITS);
    hub.begin(1, Offsets::new([0]));
    hub.complete();
    hub
}

fn everything() -> Filter {
    Filter::parse(Scope::built_in(), None, Violations::default()).expect("the empty filter is valid")
}

fn at(next: i64) -> Token {
    Token { epoch: 1, filter_hash: everything().hash().into(), offsets: Offsets::new([next]) }
}

fn versions(subscription: &OrdersSubscription) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        let batch = subscription.take().expect("within the ring");
        all.extend(batch.events.iter().map(|(event, _)| event.version));
        if !batch.more {
            return all;
        }
    }
}

fn updates(subscription: &mut OrderSubscription) -> Vec<Option<i64>> {
    let next = || match subscription.updates.try_recv().ok()? {
        Update::Event(event) => Some(Some(event.version)),
        Update::Reread => Some(None),
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn no_stream_of_many_orders_starts_before_the_log_was_read_to_its_end() {
    let hub = Hub::new(LIMITS);
    assert_eq!(hub.watch_orders(everything(), Start::Now).map(drop), Err(NotStarted::NotReady));
    hub.begin(1, Offsets::new([0]));
    assert_eq!(hub.watch_orders(everything(), Start::Now).map(drop), Err(NotStarted::NotReady));
    assert!(!*hub.ready().borrow());
    hub.complete();
    assert!(*hub.ready().borrow());
    assert!(hub.watch_orders(everything(), Start::Now).is_ok());
}

#[test]
fn a_stream_that_resumes_beyond_what_was_read_gets_only_what_follows_its_token() {
    let hub = hub();
    hub.publish(event(0, 1));
    assert_eq!(hub.watch_orders(everything(), Start::Token(at(3))).map(drop), Err(NotStarted::Beyond));
    let stream = hub.watch_orders(everything(), Start::VerifiedToken(at(3))).expect("the broker has it");
    (1..5).for_each(|offset| hub.publish(event(offset, offset + 1)));
    assert_eq!(versions(&stream), [4, 5]);
}

#[test]
fn a_log_that_went_back_reaches_streams_of_single_orders_only() {
    let hub = hub();
    let mut one = hub.watch_order(Uuid::nil());
    let many = hub.watch_orders(everything(), Start::Now).expect("complete");
    hub.publish(event(7, 1));
    hub.publish(event(0, 2));
    assert_eq!(versions(&many), [1]);
    assert_eq!(hub.read(1), Some(Offsets::new([8])));
    assert_eq!(updates(&mut one), [Some(1), Some(2)]);
}

#[test]
fn a_lost_record_ends_streams_of_many_orders_and_their_tokens() {
    let hub = hub();
    let stream = hub.watch_orders(everything(), Start::Now).expect("complete");
    hub.lose(0, 5);
    assert_eq!(stream.take().map(drop), Err(Expired));
    assert_eq!(stream.token(), Err(Expired));
    assert_eq!(hub.watch_orders(everything(), Start::Token(at(0))).map(drop), Err(NotStarted::Expired));
    assert!(hub.watch_orders(everything(), Start::Token(at(5))).is_ok());
}

#[test]
fn a_stream_goes_on_when_the_topic_gets_more_partitions() {
    let hub = hub();
    let stream = hub.watch_orders(everything(), Start::Now).expect("complete");
    hub.publish(event(0, 1));
    hub.add_partitions(&Offsets::new([0, 0]));
    hub.publish(Event { partition: 1, ..event(0, 2) });
    assert_eq!(versions(&stream), [1, 2]);
    let token = Token::decode(&stream.token().expect("alive"), everything().hash()).expect("our own");
    assert_eq!(token.offsets, Offsets::new([1, 1]));
    let resumed = hub.watch_orders(everything(), Start::Token(at(1))).expect("a token of before");
    assert_eq!(versions(&resumed), [2]);
}

#[test]
fn a_tenant_gets_nothing_of_another_tenant() {
    let hub = hub();
    let other = Scope::new("acme", "owner", Role::Owner);
    let other = Filter::parse(other, None, Violations::default()).expect("valid");
    let stream = hub.watch_orders(other, Start::Now).expect("complete");
    hub.publish(event(0, 1));
    assert_eq!(versions(&stream), [] as [i64; 0]);
}

#[test]
fn a_stream_that_leaves_too_much_is_told_that_it_lags() {
    let hub = hub();
    let mut stream = hub.watch_order(Uuid::nil());
    (0..=UPDATES as i64).for_each(|offset| hub.publish(event(offset, offset + 1)));
    assert!(matches!(stream.updates.try_recv(), Err(broadcast::error::TryRecvError::Lagged(1))));
}

#[test]
fn only_orders_that_the_store_has_moved_on_are_reread() {
    let hub = hub();
    let mut stream = hub.watch_order(Uuid::nil());
    assert_eq!(hub.watched(), [], "it does not know its version yet");
    stream.starts_at(3);
    hub.watch_order(Uuid::nil()).starts_at(5);
    assert_eq!(hub.watched(), [(Uuid::nil(), 3)], "the first stream may have missed 4 and 5");
    hub.publish(event(0, 4));
    assert_eq!(hub.reread(Uuid::nil(), Some(6)), 1);
    assert_eq!(hub.watched(), [(Uuid::nil(), 6)]);
    assert_eq!(updates(&mut stream), [Some(4), None]);
}

#[test]
fn a_stream_that_is_dropped_leaves_nothing_behind() {
    let hub = hub();
    let (one, two) = (hub.watch_order(Uuid::nil()), hub.watch_order(Uuid::nil()));
    let many = hub.watch_orders(everything(), Start::Now).expect("complete");
    drop(one);
    assert_eq!(hub.state().orders.len(), 1);
    drop((two, many));
    assert!(hub.state().orders.is_empty() && hub.state().cursors.is_empty());
}
