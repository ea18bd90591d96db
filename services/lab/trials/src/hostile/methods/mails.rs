//! The calls about mails.

use comanda_proto::v1::{ListMailsRequest, MailFilter, ResendDeadMailsRequest, ResendMailRequest};
use prost::Message;
use rand::{RngExt, rngs::StdRng};

use super::{
    MAILS, Method, method,
    values::{id, number, number32, some, text, time, token},
};

pub(super) const METHODS: [Method; 3] = [
    method::<ListMailsRequest>(MAILS, "/comanda.v1.MailService/ListMails", mails),
    method::<ResendMailRequest>(MAILS, "/comanda.v1.MailService/ResendMail", resend),
    method::<ResendDeadMailsRequest>(MAILS, "/comanda.v1.MailService/ResendDeadMails", resend_dead),
];

fn mails(rng: &mut StdRng) -> Vec<u8> {
    let order_id = if rng.random_bool(0.5) { String::new() } else { id(rng) };
    let filter = MailFilter {
        states: some(rng, 2, number32),
        statuses: some(rng, 20, text),
        undelivered_from_time: time(rng),
        undelivered_before_time: time(rng),
        reply_contains: text(rng),
    };
    let page_token = token(&filter, rng);
    let filter = rng.random_bool(0.5).then_some(filter);
    ListMailsRequest { order_id, page_size: number32(rng), page_token, filter }.encode_to_vec()
}

fn resend(rng: &mut StdRng) -> Vec<u8> {
    ResendMailRequest { order_id: id(rng), version: number(rng), request_id: id(rng) }.encode_to_vec()
}

fn resend_dead(rng: &mut StdRng) -> Vec<u8> {
    ResendDeadMailsRequest {
        // Of a status that no mail reports.
        statuses: vec![format!("nothing-{}", rng.random::<u32>())],
        died_from_time: time(rng),
        died_before_time: time(rng),
        reply_contains: text(rng),
        max_mails: number32(rng),
        include_too_old: rng.random(),
    }
    .encode_to_vec()
}
