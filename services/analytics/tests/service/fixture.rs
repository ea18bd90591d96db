//! What the tests start from.

use anyhow::Result;
use comanda_analytics::{
    App, Config, SERVICE,
    operator::{Operator, Options, Progress},
};
use comanda_kit::{
    access::Access,
    shutdown::Tasks,
    testing::{Environment, Replica, eventually},
};
use comanda_proto::{
    topics,
    v1::{GetAnalyticsStateRequest, GetAnalyticsStateResponse, analytics_service_client::AnalyticsServiceClient},
    views::offset_date_time,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::transport::Channel;

pub type Client = AnalyticsServiceClient<Channel>;

/// A database and the topics that are counted.
pub struct Fixture {
    pub environment: Environment,
    /// The database as the tests look at it and meddle with it.
    pub sql: PgPool,
}

impl Fixture {
    pub async fn new() -> Result<Self> {
        let environment = Environment::new().await?;
        environment.create_topic(topics::ASSIGNMENTS).await?;
        Ok(Self { sql: environment.sql().await?, environment })
    }

    /// Starts a replica for the built-in caller.
    pub fn start(&self) -> Result<Replica> {
        self.start_as(Access::default(), &Config::default())
    }

    /// Starts a replica for a caller.
    pub fn start_as(&self, access: Access, config: &Config) -> Result<Replica> {
        let tasks = Tasks::new();
        let app = App::build(config, &self.environment.postgres, &self.environment.kafka)?;
        Replica::serve_to(access, vec![app.start(&tasks)?], tasks)
    }

    /// Starts a replica and connects to it.
    pub async fn serve(&self) -> Result<(Replica, Client)> {
        let replica = self.start()?;
        let client = connect(&replica).await?;
        Ok((replica, client))
    }

    /// An operator at the same database.
    pub fn operator(&self) -> Result<Operator> {
        Operator::connect(&Config::default(), &self.environment.postgres)
    }

    /// Counts the history again.
    pub async fn rebuild(&self, options: Options) -> Result<i32> {
        let operator = self.operator()?;
        let generation = operator.rebuild(options, &mut Silent).await;
        operator.close().await;
        generation
    }

    /// Waits until everything that was published until now is counted.
    pub async fn counted(&self, client: &Client) -> GetAnalyticsStateResponse {
        let now: OffsetDateTime =
            sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.sql).await.expect("the database answers");
        eventually("everything is counted", || async {
            let state = state(client).await?;
            let fold_time = state.fold_time.as_ref().and_then(offset_date_time)?;
            (state.waiting_records == 0 && fold_time > now).then_some(state)
        })
        .await
    }
}

pub async fn connect(replica: &Replica) -> Result<Client> {
    replica.serves(SERVICE).await;
    Ok(AnalyticsServiceClient::new(replica.connect().await?))
}

/// How far the numbers are; `None` while the service does not say.
pub async fn state(client: &Client) -> Option<GetAnalyticsStateResponse> {
    Some(client.clone().get_analytics_state(GetAnalyticsStateRequest {}).await.ok()?.into_inner())
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: u64, _: Option<u64>) {}
    fn folded(&mut self, _: u64) {}
}
