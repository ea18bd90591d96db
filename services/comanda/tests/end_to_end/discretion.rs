//! What no log may hold, even one that tells everything.

use comanda_kit::testing::eventually;
use comanda_proto::v1::{CreateOrderRequest, Customer};

use crate::harness::{STEP_MS, SmtpServer, World, email, order};

#[tokio::test(flavor = "multi_thread")]
async fn no_log_tells_a_secret_or_of_a_person() {
    let (world, mails) = (World::new().await, SmtpServer::refusing("nowhere.example").await);
    let url = mails.url.replace("smtp://", "smtp://comanda@");
    let mut command = world.command(&["all", "--step-ms", STEP_MS, "--smtp-url", &url]);
    command.env("RUST_LOG", "trace").env("COMANDA_MAIL_RETRY_DELAYS", "1s");
    let mut server = world.start_as("all", command);
    server.serves().await;
    let mut client = server.orders().await;
    // One mail is accepted, one refused with the address in the answer, one order refused for its address.
    let customer = |address| Some(Customer { email: address, ..order().customer.expect("a customer") });
    for address in [email("example.com"), email("nowhere.example")] {
        let order = CreateOrderRequest { customer: customer(address), ..order() };
        client.create_order(order).await.expect("an order");
    }
    let wrong = CreateOrderRequest { customer: customer(email("@")), ..order() };
    client.create_order(wrong).await.expect_err("an address that is none");
    eventually("one order's mails are sent, the other's are dead", async || {
        let states =
            "SELECT count(*) FILTER (WHERE state = 4) * 10 + count(*) FILTER (WHERE state = 5) FROM notification.mails";
        (world.count(states).await == 44).then_some(())
    })
    .await;
    assert!(server.log().contains("TRACE"), "the log tells everything");
    drop(client);
    world.stop([server]).await;
    let masked = "SELECT count(*) FROM notification.mails WHERE last_reply LIKE '550%(recipient)%'";
    assert_eq!(world.count(masked).await, 4, "what the mail server said is kept, but not of whom");
}
