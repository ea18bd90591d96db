//! Clients that ask for what must be refused, and clients that send nonsense.

use std::sync::Arc;

use comanda_checker::history::{Answer, Op, What};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    bad_requests::{self, Bad},
    calls::Patience,
    clients::Clients,
};

/// Makes one bad call.
pub(super) async fn call(clients: Arc<Clients>, name: String, mut rng: StdRng) {
    let known = clients.known.any(&mut rng);
    let bad = if rng.random_bool(0.2) {
        bad_requests::no_protobuf(&mut rng)
    } else {
        let all = bad_requests::refused(known.as_ref().map(|order| &*order.order_id), &mut rng);
        all.choose(&mut rng).expect("there are some").clone()
    };
    bad.send(&clients, &name, &mut rng).await;
}

impl Bad {
    async fn send(self, clients: &Clients, name: &str, rng: &mut StdRng) {
        let way = clients.replicas.any(self.role, rng);
        let op = Op::Bad { what: format!("{} {}", self.method, self.what), is_protobuf: self.is_protobuf };
        let mut unnamed = None;
        let call = async {
            let refused = crate::raw::call(way.channel, self.method, way.tenant.request(self.bytes)).await;
            unnamed = refused.as_ref().err().and_then(|status| unnamed_field(status, self.field));
            // A bad call has no answer that a history could hold.
            refused.map(|_| Answer::History { transitions: Vec::new() })
        };
        clients.call(name, &way.replica, op, Patience::wait(&clients.settings, rng), call).await;
        if let Some(line) = unnamed {
            clients.recorder.record(What::Alarm { process: way.replica, line: format!("{}: {line}", self.method) });
        }
    }
}

/// What to complain of in a refusal that does not name the field which is wrong.
fn unnamed_field(status: &Status, field: Option<&str>) -> Option<String> {
    use Code::{Aborted, FailedPrecondition, InvalidArgument, NotFound, OutOfRange};
    let is_refusal = matches!(status.code(), InvalidArgument | NotFound | FailedPrecondition | OutOfRange | Aborted);
    let field = field.filter(|_| is_refusal)?;
    let named = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
    let is_named = named.iter().any(|violation| violation.field == field);
    (!is_named).then(|| format!("a refusal does not name the field {field:?}: {}", status.message()))
}
