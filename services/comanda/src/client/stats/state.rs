//! `comanda stats state`.

use comanda_proto::v1::{GetAnalyticsStateRequest, GetAnalyticsStateResponse};

use super::super::{Client, print::time};
use crate::failure::Failure;

/// Shows how far the numbers have come.
pub async fn run(client: &Client) -> Result<(), Failure> {
    let state = client.api.get_analytics_state(GetAnalyticsStateRequest {}).await?;
    Ok(client.print.show("comanda.v1.GetAnalyticsStateResponse", &state, |_| text(&state))?)
}

fn text(state: &GetAnalyticsStateResponse) -> String {
    let mut lines = vec![
        format!("complete up to  {}", time(state.fold_time)),
        format!("waiting         {} records", state.waiting_records),
        format!("generation      {}", state.generation),
    ];
    if let Some(rebuild) = &state.rebuild {
        let (generation, orders) = (rebuild.generation, rebuild.folded_orders);
        lines.push(format!(
            "rebuild         generation {generation}, since {}, {orders} orders so far",
            time(rebuild.start_time)
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::Rebuild;

    use super::*;

    #[test]
    fn a_rebuild_is_shown_while_it_goes_on() {
        let state = GetAnalyticsStateResponse { waiting_records: 7, generation: 1, ..Default::default() };
        assert_eq!(text(&state), "complete up to  -\nwaiting         7 records\ngeneration      1");
        let rebuild = Some(Rebuild { generation: 2, folded_orders: 30, start_time: None });
        assert!(
            text(&GetAnalyticsStateResponse { rebuild, ..state }).contains("generation 2, since -, 30 orders so far")
        );
    }
}
