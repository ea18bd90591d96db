//! Streams with their events.

use super::Builder;
use crate::{
    case::{Kind, Stream},
    history::{Event, Line, What},
};

impl<'a> Builder<'a> {
    pub(super) fn take_stream(&mut self, at: usize, line: &'a Line) {
        let number = match &line.what {
            What::Watch { stream, tenant, order_id, after_version, .. } => {
                self.open(*stream, tenant, line.at_us, Kind::One { order_id, after_version: *after_version })
            }
            What::WatchAll { stream, tenant, customer_id, start, .. } => {
                self.open(*stream, tenant, line.at_us, Kind::All { customer_id, start })
            }
            What::WatchCourier { stream, tenant, courier_id, .. } => {
                self.open(*stream, tenant, line.at_us, Kind::Courier { courier_id })
            }
            What::Event { stream, .. } | What::StreamEnd { stream, .. } => *stream,
            _ => return,
        };
        let Some(stream) = self.case.streams.get_mut(&number) else { return };
        let opened_us = stream.opened_us;
        let mut shown = None;
        match &line.what {
            What::Event { event, .. } => {
                stream.events.push((line.at_us, event));
                shown = match event {
                    Event::Transition { transition } => Some((&transition.order_id, None, transition.version)),
                    Event::Current { order } => Some((&order.order_id, Some(opened_us), order.version)),
                    _ => None,
                };
            }
            What::StreamEnd { code, reason, .. } => stream.end = Some((line.at_us, code, reason.as_deref())),
            _ => {}
        }
        let watched = match stream.kind {
            Kind::One { order_id, .. } => Some(order_id),
            Kind::All { .. } => shown.map(|(order_id, ..)| order_id.as_str()),
            Kind::Courier { .. } => None,
        };
        if let What::Event { event: Event::Jobs { jobs, .. }, .. } = &line.what {
            jobs.iter().for_each(|job| _ = self.mention(&job.order_id, &[at]));
        }
        if let Some(order_id) = watched {
            self.mention(order_id, &[at]);
        }
        if let Some((order_id, asked_us, version)) = shown {
            self.see(order_id, asked_us, line.at_us, version);
        }
    }

    fn open(&mut self, stream: u64, tenant: &'a str, opened_us: u64, kind: Kind<'a>) -> u64 {
        self.case.streams.insert(stream, Stream { stream, tenant, kind, opened_us, events: Vec::new(), end: None });
        stream
    }
}
