use std::{path::PathBuf, time::Duration};

use comanda_checker::history::{Line, What};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    server: SmtpServer,
    recorder: Recorder,
    path: PathBuf,
}

impl Bench {
    async fn new(mode: Mode) -> Self {
        let path = std::env::temp_dir().join(format!("comanda-smtp-{}.jsonl", Uuid::now_v7()));
        let recorder = Recorder::create(&path).expect("a new file");
        let server = SmtpServer::start(recorder.clone(), 1).await.expect("a free port");
        server.set(mode);
        Self { server, recorder, path }
    }

    async fn client(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.server.address()).await.expect("the server listens")))
    }

    /// Message-ID, recipients and answer of each message.
    async fn mails(self) -> Vec<(String, Vec<String>, u16)> {
        self.server.stop().await;
        self.recorder.flush().await.expect("a disk with room");
        let text = std::fs::read_to_string(&self.path).expect("written");
        std::fs::remove_file(&self.path).expect("ours");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line"));
        lines
            .filter_map(|line: Line| match line.what {
                What::Mail { message_id, recipients, reply } => Some((message_id, recipients, reply)),
                _ => None,
            })
            .collect()
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// Sends something and returns the code of the answer; 0 where the connection ends instead.
    async fn says(&mut self, text: &str) -> u16 {
        // Fails where the server has hung up, which its answer tells as well.
        _ = self.0.write_all(text.as_bytes()).await;
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("the server answers or hangs up");
            if read.unwrap_or(0) == 0 {
                return 0;
            }
            if line.as_bytes()[3] == b' ' {
                return line[..3].parse().expect("a code");
            }
        }
    }

    /// Sends a message, and returns the answers up to the first that is not hoped for.
    async fn sends(&mut self, message_id: &str) -> Vec<u16> {
        let message = format!("message-id: {message_id}\r\n\r\nMessage-ID: <in.the@body>\r\n..\r\n.\r\n");
        let steps = [
            ("", 220),
            ("EHLO test\r\n", 250),
            ("MAIL FROM:<a@b>\r\n", 250),
            ("RCPT TO:<c@d>\r\n", 250),
            ("DATA\r\n", 354),
            (&*message, 250),
        ];
        let mut codes = Vec::new();
        for (text, hoped) in steps {
            codes.push(self.says(text).await);
            if codes.last() != Some(&hoped) {
                break;
            }
        }
        codes
    }
}

fn mail(reply: u16) -> Vec<(String, Vec<String>, u16)> {
    vec![("<1@x>".into(), vec!["c@d".into()], reply)]
}

#[tokio::test]
async fn an_accepted_message_is_in_the_history_by_its_id_and_recipient() {
    let bench = Bench::new(Mode::Accept).await;
    assert_eq!(bench.client().await.sends("<1@x>").await, [220, 250, 250, 250, 354, 250]);
    assert_eq!(bench.mails().await, mail(250));
}

#[tokio::test]
async fn each_phase_can_be_refused_and_only_a_whole_message_is_noted() {
    for (count, phase) in (1..).zip(PHASES) {
        let bench = Bench::new(Mode::Refuse4xx(phase)).await;
        let codes = bench.client().await.sends("<1@x>").await;
        assert_eq!((codes.len(), codes.last()), (count, Some(&451)), "{phase:?}");
        assert_eq!(bench.mails().await, if phase == Phase::Dot { mail(451) } else { Vec::new() });
        let bench = Bench::new(Mode::Refuse5xx(phase)).await;
        assert_eq!(bench.client().await.sends("<1@x>").await.last(), Some(&550), "{phase:?}");
    }
}

#[tokio::test]
async fn silence_in_any_phase_lasts_until_the_mode_is_set_again() {
    for (count, phase) in (1..).zip(PHASES) {
        let bench = Bench::new(Mode::Silence(phase)).await;
        let mut client = bench.client().await;
        // The client is silent for as long as the server is: only setting the mode again tells whether it was that far.
        let setting_again = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            loop {
                ticks.tick().await;
                bench.server.set(Mode::Silence(phase));
            }
        };
        let codes = tokio::select! {
            codes = tokio::time::timeout(PATIENCE, client.sends("<1@x>")) => codes.expect("the silence ends"),
            () = setting_again => unreachable!("it goes on for ever"),
        };
        assert_eq!((codes.len(), codes.last()), (count, Some(&0)), "{phase:?}");
        assert_eq!(bench.mails().await, if phase == Phase::Dot { mail(0) } else { Vec::new() });
    }
}

#[tokio::test]
async fn a_cut_before_the_dot_leaves_no_message_and_one_after_it_leaves_an_unanswered_one() {
    let bench = Bench::new(Mode::CutBeforeDot).await;
    assert_eq!(bench.client().await.sends("<1@x>").await, [220, 250, 250, 250, 354, 0]);
    assert_eq!(bench.mails().await, []);
    let bench = Bench::new(Mode::CutAfterDot).await;
    assert_eq!(bench.client().await.sends("<1@x>").await, [220, 250, 250, 250, 354, 0]);
    assert_eq!(bench.mails().await, mail(0));
}

#[tokio::test]
async fn a_cut_after_the_reply_comes_after_the_reply() {
    let bench = Bench::new(Mode::CutAfterReply).await;
    let mut client = bench.client().await;
    assert_eq!(client.sends("<1@x>").await, [220, 250, 250, 250, 354, 250]);
    assert_eq!(client.says("NOOP\r\n").await, 0);
    assert_eq!(bench.mails().await, mail(250));
}

#[tokio::test]
async fn stopping_hangs_up_on_silent_clients() {
    let bench = Bench::new(Mode::Silence(Phase::Greeting)).await;
    let mut client = bench.client().await;
    let mut byte = [0];
    timeout(PATIENCE, bench.mails()).await.expect("stops");
    assert_eq!(client.0.read(&mut byte).await.unwrap_or(0), 0);
}
