//! What was left at the end.

use super::Builder;
use crate::{
    case::{MailRow, Occurrence, Place, StateRow, Step, Strange},
    history::{RecordContent, What},
};

impl<'a> Builder<'a> {
    pub(super) fn take_remains(&mut self, at: usize, what: &'a What) {
        match what {
            What::Workflow(workflow) => {
                self.case.workflows.insert((&workflow.name, workflow.revision), workflow);
            }
            What::OrderRow(row) => self.mention(&row.order_id, &[at]).rows.push(row),
            What::RequestRow { tenant, request_id, order_id } => {
                self.mention(order_id, &[at]).requests.push((tenant, request_id));
                self.case.requests.entry((tenant, request_id)).or_default().push(order_id);
            }
            What::StateRow { order_id, tenant, version, status, phase, due_time_us } => {
                let row = StateRow { tenant, version: *version, status, phase, due_time_us: *due_time_us };
                self.mention(order_id, &[at]).states.push(row);
            }
            What::TransitionRow { transition, tenant, request_id } => {
                let step = Step { transition, tenant, request_id: request_id.as_deref() };
                self.mention(&transition.order_id, &[at]).steps.push(step);
            }
            What::MailRow { order_id, tenant, version, copy, state, attempts, message_id, recipient } => {
                let (version, copy, attempts) = (*version, *copy, *attempts);
                let row = MailRow { tenant, version, copy, state, attempts, message_id, recipient };
                let lines = self.mail_lines.remove(message_id.as_str()).unwrap_or_default();
                let order = self.mention(order_id, &lines);
                order.lines.push(at);
                order.mails.push(row);
            }
            What::OutboxRow { service, order_id, version } => {
                self.mention(order_id, &[at]).pointers.push((service, *version));
            }
            What::CourierRow(row) => _ = self.case.couriers.insert((&row.tenant, &row.courier_id), row),
            What::JobRow(row) => self.mention(&row.order_id, &[at]).job = Some(row),
            What::AssignmentRow(row) => self.mention(&row.order_id, &[at]).assignments.push(row),
            What::AssignmentEventRow(event) => self.mention(&event.order_id, &[at]).assignment_events.push(event),
            What::ReportRow(row) => self.case.reports.push(row),
            What::Record { .. } => self.take_record(at, what),
            _ => {}
        }
    }

    fn take_record(&mut self, at: usize, what: &'a What) {
        let What::Record { topic, log, partition, offset, key, tenant, content } = what else { return };
        let place = Place { log: *log, partition: *partition, offset: *offset };
        let logs = self.case.logs.entry(*topic).or_default();
        *logs = (*logs).max(*log);
        let occurrence = Occurrence { place, key, tenant: tenant.as_deref(), content };
        match content {
            RecordContent::Placed { order_id, .. } => self.mention(order_id, &[at]).placed.push(occurrence),
            RecordContent::Transition { transition, .. } => {
                self.mention(&transition.order_id, &[at]).transitions.push(occurrence);
            }
            RecordContent::Assignment { event } => {
                self.mention(&event.order_id, &[at]).assignment_records.push(occurrence);
            }
            RecordContent::Planted => self.case.strange_records.push(Strange { topic: *topic, place, key, why: None }),
            RecordContent::Unreadable { why } => {
                self.case.strange_records.push(Strange { topic: *topic, place, key, why: Some(why) });
            }
        }
    }
}
