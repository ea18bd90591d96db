//! Mails that say who comes, or that nobody does.

use anyhow::Result;
use comanda_proto::v1::{MailState::Sent, Workflow, WorkflowDispatch, WorkflowStatus};
use prost::Message;
use uuid::Uuid;

use super::world::World;

const ANA: &str = "ana@example.com";

/// A world with the workflow of rides.
async fn world() -> Result<World> {
    let world = World::without_topic().await?;
    let status = |name: &str, labels: [&str; 2], template: &str| WorkflowStatus {
        name: name.into(),
        labels: [("es".into(), labels[0].into()), ("en".into(), labels[1].into())].into(),
        mail_template: template.into(),
        ..Default::default()
    };
    let statuses = vec![
        status("requested", ["solicitado", "requested"], "status"),
        status("confirmed", ["confirmado", "confirmed"], "courier"),
        status("no_driver", ["no se encontró conductor", "no driver was found"], "status"),
    ];
    let dispatch = WorkflowDispatch {
        wanted_in: vec!["requested".into()],
        allotted: "confirmed".into(),
        picked_up: "on_trip".into(),
        given_up: "no_driver".into(),
        ..Default::default()
    };
    sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ('ride', 1, $1)")
        .bind(Workflow { statuses, dispatch: Some(dispatch), ..Workflow::default() }.encode_to_vec())
        .execute(&world.pool)
        .await?;
    Ok(world)
}

/// A ride whose mail of `status` is due, and that has the status `now` when the mail is sent.
async fn ride(world: &World, locale: &str, status: &str, now: &str) -> Result<Uuid> {
    let order = world.order(ANA, &[status]).await?;
    sqlx::query("UPDATE ordering.orders SET workflow = 'ride', locale = $2 WHERE order_id = $1")
        .bind(order)
        .bind(locale)
        .execute(&world.pool)
        .await?;
    sqlx::query(
        "INSERT INTO state_machine.states (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
         VALUES ($1, 'default', 'ride', 1, 1, $2, 1, now(), 'infinity')",
    )
    .bind(order)
    .bind(now)
    .execute(&world.pool)
    .await?;
    sqlx::query(
        "INSERT INTO mails (order_id, version, tenant, status, transition_time, state) VALUES ($1, 1, 'default', $2, now(), 1)",
    )
    .bind(order)
    .bind(status)
    .execute(&world.pool)
    .await?;
    Ok(order)
}

/// Gives a ride to a courier of a tenant, who promises to be there in so many seconds.
async fn allot(world: &World, order: Uuid, tenant: &str, pickup_in: f64) -> Result<()> {
    sqlx::query(
        "INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status)
         VALUES ($1, 'luz', 'Luz', 'Corolla blanco', 'ABCD-12', '', '', 9, 9, 2)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .execute(&world.pool)
    .await?;
    sqlx::query(
        "INSERT INTO dispatch.assignments (order_id, attempt, tenant, courier_id, slot, state, promised_pickup_time)
         SELECT $1, 1, $2, 'luz', count(*) + 1, 2, now() + make_interval(secs => $3) FROM dispatch.assignments",
    )
    .bind(order)
    .bind(tenant)
    .bind(pickup_in)
    .execute(&world.pool)
    .await?;
    Ok(())
}

/// The only mail that is sent, its lines joined where the encoding broke them.
async fn sent(world: &World, order: Uuid) -> Result<String> {
    let service = world.start(&["--mail-time-zone=America/Santiago"]).await?;
    world.states(order, &[Sent]).await;
    service.stop().await?;
    let accepted = world.smtp.accepted();
    assert_eq!(accepted.len(), 1);
    Ok(accepted[0].text().replace("=\n", ""))
}

#[tokio::test]
async fn the_mail_of_a_confirmed_ride_says_who_comes_in_what_and_when() -> Result<()> {
    let world = world().await?;
    let order = ride(&world, "es-CL", "confirmed", "confirmed").await?;
    allot(&world, order, "default", 440.0).await?;
    let text = sent(&world, order).await?;
    for part in ["Te atiende: Luz", "Corolla blanco", "ABCD-12", "Recogida: ", " UTC-", "(en unos 7 minutos)"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    Ok(())
}

#[tokio::test]
async fn the_same_in_english_without_a_time_that_has_passed() -> Result<()> {
    let world = world().await?;
    let order = ride(&world, "en", "confirmed", "confirmed").await?;
    allot(&world, order, "default", -5.0).await?;
    let text = sent(&world, order).await?;
    assert!(text.contains("With you is: Luz") && text.contains("Licence plate: ABCD-12"), "{text}");
    assert!(!text.contains("Pickup") && !text.contains("minutes"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_mail_names_nobody_where_nobody_comes_any_more() -> Result<()> {
    for (now, courier_of) in [
        ("confirmed", None),
        // Withdrawn, and given to somebody who is not confirmed yet.
        ("requested", Some("default")),
        ("confirmed", Some("acme")),
    ] {
        let world = world().await?;
        let order = ride(&world, "es", "confirmed", now).await?;
        if let Some(tenant) = courier_of {
            allot(&world, order, tenant, 440.0).await?;
        }
        let text = sent(&world, order).await?;
        assert!(text.contains("Estado de tu pedido: confirmado."), "{text}");
        // Not only the name: the boundary between the parts of a mail is random and may contain three letters.
        assert!(!text.contains("Te atiende") && !text.contains("ABCD-12") && !text.contains("Recogida"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn the_mail_of_a_ride_that_nobody_takes_says_so() -> Result<()> {
    for (locale, told) in
        [("es", "Estado de tu pedido: no se encontr"), ("en", "Status of your order: no driver was found.")]
    {
        let world = world().await?;
        let order = ride(&world, locale, "no_driver", "no_driver").await?;
        let text = sent(&world, order).await?;
        assert!(text.contains(told), "{text}");
    }
    Ok(())
}
