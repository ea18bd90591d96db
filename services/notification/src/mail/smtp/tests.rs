//! The client against servers that speak plainly and encrypted, in every dialect.

use comanda_lab_smtp::{Action, Dialect, Phase as At, ScriptedServer};

use super::*;

pub(super) fn letter(to: &str) -> Letter {
    let (from, to, file) = ("pedidos@example.com".into(), to.to_owned(), String::new());
    Letter { from, needs_smtputf8: !to.is_ascii(), to, bytes: b"Subject: x\r\n\r\n.a\r\n".to_vec(), file }
}

pub(super) fn config(arguments: &[&str]) -> Config {
    #[derive(clap::Parser)]
    #[command(args_override_self = true)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }
    let short = ["test", "--smtp-timeout-ms=2000", "--smtp-data-timeout-ms=2000"];
    let cli: Cli = clap::Parser::parse_from(short.iter().chain(arguments));
    cli.config
}

fn client(url: &str, password: Option<&str>, arguments: &[&str]) -> Smtp {
    let settings = Settings::new(&config(arguments), url.parse().expect("a URL"), password.map(Secret::new));
    Smtp::new(Arc::new(settings.expect("valid settings")))
}

pub(super) async fn send(client: &mut Smtp, to: &str) -> Result<String, Failure> {
    let letter = letter(to);
    client.prepare(&letter).await?;
    client.deliver(&letter).await
}

#[tokio::test]
async fn every_dialect_is_understood_in_every_phase() {
    for dialect in Dialect::ALL {
        let server = ScriptedServer::start().await.expect("a free port");
        server.speak(dialect);
        let mut client = client(&server.url(), None, &[]);
        for _ in 0..2 {
            let reply = send(&mut client, "ana@example.com").await;
            let reply = reply.unwrap_or_else(|failure| panic!("{dialect:?}: {failure:?}"));
            assert!(reply.starts_with("250"), "{reply}");
        }
        client.close().await;
        assert_eq!((server.accepted().len(), server.connections()), (2, 1), "{dialect:?}");
        assert_eq!(server.accepted()[0].text(), "Subject: x\n\n.a\n");
        assert_eq!(server.commands("QUIT").len(), 1);
    }
}

#[tokio::test]
async fn a_login_is_made_as_the_server_offers() {
    for (offer, command, answers) in [
        ("AUTH CRAM-MD5 PLAIN", "AUTH PLAIN AGFuYQBnZWhlaW0=", &[][..]),
        ("AUTH=login", "AUTH LOGIN", &["YW5h", "Z2VoZWlt"]),
    ] {
        let server = ScriptedServer::start().await.expect("a free port");
        server.offer(&[offer]);
        send(&mut client(&server.url_with_user(), Some("geheim"), &[]), "ana@example.com").await.expect("sent");
        assert_eq!(server.commands("AUTH"), [command]);
        assert!(answers.iter().all(|answer| server.commands(answer).len() == 1));
    }
    let server = ScriptedServer::start().await.expect("a free port");
    server.offer(&["AUTH GSSAPI"]);
    let failure = send(&mut client(&server.url_with_user(), Some("geheim"), &[]), "ana@example.com").await;
    assert!(matches!(failure.expect_err("no way").cause, Cause::Unfit(_)));
}

#[tokio::test]
async fn hello_gives_a_full_name_or_an_address() {
    let server = ScriptedServer::start().await.expect("a free port");
    send(&mut client(&server.url(), None, &[]), "ana@example.com").await.expect("sent");
    let hello = server.commands("EHLO").remove(0);
    assert!(hello.contains('.'), "{hello}");
    send(&mut client(&server.url(), None, &["--smtp-hello", "out.example.com"]), "ana@example.com")
        .await
        .expect("sent");
    assert_eq!(server.commands("EHLO")[1], "EHLO out.example.com");
}

#[tokio::test]
async fn a_server_that_does_not_know_ehlo_gets_helo() {
    let server = ScriptedServer::start().await.expect("a free port");
    server.when(At::Hello, "EHLO", Action::reply("502 what?"));
    send(&mut client(&server.url(), None, &[]), "ana@example.com").await.expect("sent");
    assert_eq!(
        (server.commands("HELO").len(), server.commands("MAIL")),
        (1, vec!["MAIL FROM:<pedidos@example.com>".into()])
    );
}

#[tokio::test]
async fn parameters_are_those_that_the_server_offers() {
    let server = ScriptedServer::start().await.expect("a free port");
    server.offer(&["SIZE 1000", "8BITMIME", "SMTPUTF8"]);
    let mut client = client(&server.url(), None, &[]);
    send(&mut client, "ana@example.com").await.expect("sent");
    send(&mut client, "piñón@example.com").await.expect("sent");
    let expected =
        ["SIZE=18", "SIZE=18 BODY=8BITMIME SMTPUTF8"].map(|p| format!("MAIL FROM:<pedidos@example.com> {p}"));
    assert_eq!(server.commands("MAIL"), expected);
    for offers in [&["SIZE 10"][..], &["8BITMIME"]] {
        let server = ScriptedServer::start().await.expect("a free port");
        server.offer(offers);
        let failure =
            send(&mut self::client(&server.url(), None, &[]), "piñón@example.com").await.expect_err("impossible");
        assert!(matches!(failure.cause, Cause::Impossible(_)), "{failure:?}");
    }
}

#[tokio::test]
async fn what_a_server_says_unasked_is_no_answer() {
    let server = ScriptedServer::start().await.expect("a free port");
    server.once(At::Dot, Action::Twice("250 and this".into()));
    let mut client = client(&server.url(), None, &[]);
    send(&mut client, "ana@example.com").await.expect("sent");
    server.always(At::Dot, Action::reply("550 5.1.1 no"));
    let failure = send(&mut client, "ana@example.com").await.expect_err("refused");
    assert_eq!(failure.text(), "550 5.1.1 no");
}

#[tokio::test]
async fn silence_and_nonsense_end_within_the_deadline() {
    for phase in [At::Greeting, At::Hello, At::Mail, At::Rcpt, At::Data, At::Dot] {
        for action in
            [Action::Silence, Action::Cut, Action::Raw(b"hola\r\n".to_vec()), Action::Raw(b"250-x".repeat(2000))]
        {
            let server = ScriptedServer::start().await.expect("a free port");
            server.always(phase, action.clone());
            let mut client = client(&server.url(), None, &["--smtp-timeout-ms=200", "--smtp-data-timeout-ms=200"]);
            let failure = send(&mut client, "ana@example.com").await.expect_err("no answer");
            assert!(matches!(failure.cause, Cause::Network(_)), "{phase:?} {action:?}: {failure:?}");
        }
    }
}
