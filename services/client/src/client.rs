//! Connections to the servers, and calls with a deadline that are repeated where that is safe.

use std::{sync::Arc, time::Duration};

use comanda_proto::v1::{
    analytics_service_client::AnalyticsServiceClient, dispatch_service_client::DispatchServiceClient,
    lifecycle_service_client::LifecycleServiceClient, mail_service_client::MailServiceClient,
    order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient,
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::{
    Code, Request, Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tower::service_fn;
use uuid::Uuid;

use crate::{
    address::{Address, Role},
    credentials::{Connection, Credentials},
    error::Error,
    retry::{Waits, may_repeat},
    tls::{Connector, Tls},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that is just starting is reached at the second or third try.
const CONNECT_TRIES: u32 = 3;
/// A watch may be silent for long. Pings find out whether the other side is still there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Well above the largest page, which is about 1 MiB.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
/// What a server may send ahead on each stream of [`Client::connection_for_streams`], and on all of them.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const STREAMS_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Where the servers are, and how patient to be with them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server of OrderService.
    pub ordering: Address,
    /// The server of LifecycleService.
    pub state_machine: Address,
    /// The server of WatchService and MailService.
    pub notification: Address,
    /// The server of DispatchService.
    pub dispatch: Address,
    /// The server of AnalyticsService.
    pub analytics: Address,
    /// The time for each call, with its repetitions. Watches have none. Default: 10 s.
    pub deadline: Duration,
    /// The wait before a call is repeated or a watch resumed; it doubles with each failure in a row. Default: 250 ms.
    pub first_wait: Duration,
    /// The longest such wait, without the jitter, which may double it. Default: 15 s.
    pub longest_wait: Duration,
    /// A stream that sends nothing for so long, not even a heartbeat, is opened again. Default: 45 s, three heartbeats.
    pub silence: Duration,
    /// What is shown with each call. Default: nothing.
    pub credentials: Credentials,
    /// Whom to trust, and what to show, at addresses with https://.
    pub tls: Tls,
}

impl Config {
    /// Every role at one address (`comanda dev`, `comanda all`). Where each has its own, set the fields.
    pub fn at(address: Address) -> Self {
        Self {
            ordering: address.clone(),
            state_machine: address.clone(),
            notification: address.clone(),
            dispatch: address.clone(),
            analytics: address,
            deadline: Duration::from_secs(10),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            credentials: Credentials::none(),
            tls: Tls::default(),
        }
    }

    /// The address of a role.
    pub fn address(&self, role: Role) -> &Address {
        match role {
            Role::Ordering => &self.ordering,
            Role::StateMachine => &self.state_machine,
            Role::Notification => &self.notification,
            Role::Dispatch => &self.dispatch,
            Role::Analytics => &self.analytics,
        }
    }
}

/// A client of Comanda. Cloning is cheap: clones share the connections.
///
/// Each role is connected to at its first call; the connection then lasts and repairs itself. Roles at one address share one.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    /// One for each address.
    channels: Vec<(Address, OnceCell<Channel>)>,
    connector: Connector,
}

impl Client {
    /// A client that has connected to nothing yet.
    pub fn new(config: Config) -> Self {
        let mut channels = Vec::<(Address, OnceCell<Channel>)>::new();
        for address in Role::ALL.map(|role| config.address(role)) {
            if !channels.iter().any(|(known, _)| known == address) {
                channels.push((address.clone(), OnceCell::new()));
            }
        }
        let connector = Connector::new(config.tls.clone(), b"h2");
        Self { shared: Arc::new(Shared { config, channels, connector }) }
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The generated client of OrderService, without deadlines and repetitions.
    pub async fn order_service(&self) -> Result<OrderServiceClient<Connection>, Error> {
        let connection = self.connection(Role::Ordering).await?;
        Ok(OrderServiceClient::new(connection).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// The generated client of LifecycleService, without deadlines and repetitions.
    pub async fn lifecycle_service(&self) -> Result<LifecycleServiceClient<Connection>, Error> {
        let connection = self.connection(Role::StateMachine).await?;
        Ok(LifecycleServiceClient::new(connection).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// The generated client of MailService, without deadlines and repetitions.
    pub async fn mail_service(&self) -> Result<MailServiceClient<Connection>, Error> {
        let connection = self.connection(Role::Notification).await?;
        Ok(MailServiceClient::new(connection).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// The generated client of WatchService: its streams do not resume.
    pub async fn watch_service(&self) -> Result<WatchServiceClient<Connection>, Error> {
        let connection = self.connection(Role::Notification).await?;
        Ok(WatchServiceClient::new(connection).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// The generated client of DispatchService, without deadlines and repetitions. Its streams do not resume.
    pub async fn dispatch_service(&self) -> Result<DispatchServiceClient<Connection>, Error> {
        let connection = self.connection(Role::Dispatch).await?;
        Ok(DispatchServiceClient::new(connection).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// The generated client of AnalyticsService, without deadlines and repetitions.
    pub async fn analytics_service(&self) -> Result<AnalyticsServiceClient<Connection>, Error> {
        let connection = self.connection(Role::Analytics).await?;
        Ok(AnalyticsServiceClient::new(connection).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Calls until there is an answer, an error that repeating cannot change, or the deadline. `send` starts one try. The message must be
    /// one that may be sent twice: a read, or a write with a request id.
    pub async fn call<Q, A, F>(&self, message: Q, send: impl Fn(Request<Q>) -> F) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.config().deadline;
        let mut waits = self.waits();
        loop {
            let error = match self.attempt(message.clone(), &send, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = waits.after(&error);
            if !may_repeat(&error) || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// One try. The server is told the deadline, so that it does not work for a caller who has left.
    pub(crate) async fn attempt<Q, A, F>(
        &self,
        message: Q,
        send: impl Fn(Request<Q>) -> F,
        deadline: Instant,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        match timeout_at(deadline, send(request)).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Error::new(
                Code::DeadlineExceeded,
                format!("no answer within {} ms", self.config().deadline.as_millis()),
            )),
        }
    }

    pub(crate) fn waits(&self) -> Waits {
        Waits::new(self.config().first_wait, self.config().longest_wait)
    }

    async fn connection(&self, role: Role) -> Result<Connection, Error> {
        Ok(InterceptedService::new(self.channel(role).await?, self.config().credentials.clone()))
    }

    /// The connection to a role, without credentials, for calls that the generated clients do not have. It is the one that they use.
    pub async fn channel(&self, role: Role) -> Result<Channel, Error> {
        let address = self.config().address(role);
        let (_, cell) =
            self.shared.channels.iter().find(|(known, _)| known == address).expect("each role's address is there");
        cell.get_or_try_init(|| self.connect(role, address.endpoint())).await.cloned()
    }

    /// A further connection to a role, without credentials, for up to 200 streams whose readers may be slow: what a server may send ahead is 64 KiB for each stream
    /// and 16 MiB for all, so that streams which nobody reads hold up no other. With the windows of an ordinary connection three would.
    pub async fn connection_for_streams(&self, role: Role) -> Result<Channel, Error> {
        let endpoint = self.config().address(role).endpoint();
        let endpoint = endpoint
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(STREAMS_WINDOW_BYTES);
        self.connect(role, endpoint).await
    }

    async fn connect(&self, role: Role, endpoint: Endpoint) -> Result<Channel, Error> {
        let address = self.config().address(role);
        let mut waits = self.waits();
        let mut tries_left = CONNECT_TRIES;
        let connecting = async {
            loop {
                tries_left -= 1;
                match self.dial(address, endpoint.clone()).await {
                    Err(_) if tries_left > 0 => sleep(waits.asked(None)).await,
                    end => return end.map_err(|error| role.unreachable(address, &error)),
                }
            }
        };
        let late = |_| Error::unreachable(format!("cannot reach {} at {address}: no answer in time", role.name()));
        timeout(self.config().deadline, connecting).await.map_err(late)?
    }

    /// A connection that lasts: when it breaks, the next call makes a new one.
    pub(crate) async fn dial(&self, address: &Address, endpoint: Endpoint) -> Result<Channel, tonic::transport::Error> {
        let endpoint = with_settings(endpoint)?;
        if !address.has_tls() {
            return endpoint.connect().await;
        }
        let connector = self.shared.connector.clone();
        endpoint.connect_with_connector(service_fn(move |uri| connector.clone().connect_to(uri))).await
    }
}

fn with_settings(endpoint: Endpoint) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = endpoint
        .user_agent(concat!("comanda/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(endpoint)
}

/// Fills in a request id where the caller gave none, so that the call may be repeated.
pub(crate) fn with_request_id(request_id: &mut String) {
    if request_id.is_empty() {
        *request_id = Uuid::new_v4().to_string();
    }
}
