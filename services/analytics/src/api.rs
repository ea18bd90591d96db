//! The gRPC service.

mod requests;

use std::{sync::Arc, time::Duration};

use comanda_kit::{access::Scope, errors::ApiError};
use comanda_proto::{
    v1::{
        CountOrdersRequest, CountOrdersResponse, GetAnalyticsStateRequest, GetAnalyticsStateResponse, Rebuild,
        ReportCouriersRequest, ReportCouriersResponse, ReportDwellRequest, ReportDwellResponse, ReportRatesRequest,
        ReportRatesResponse, ReportRevenueRequest, ReportRevenueResponse, analytics_service_server::AnalyticsService,
    },
    views::timestamp,
};
use prost_types::Timestamp;
use time::OffsetDateTime;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tonic::{Request, Response, Status};

use crate::{
    reports::{self, MOST_READ, MOST_ROWS, too_large},
    store::{Store, Wanted},
};

/// How many reports are made at once: each may read and hold a hundred thousand sums.
const REPORTS: usize = 4;
/// How long a report waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many statuses may be counted for each row: those that were left and are empty have none.
const READ_PER_ROW: usize = 3;

/// Answers with reports.
#[derive(Debug)]
pub struct Api {
    store: Store,
    turns: Arc<Semaphore>,
}

impl Api {
    /// Reads the numbers of a store.
    pub fn new(store: Store) -> Self {
        Self { store, turns: Arc::new(Semaphore::new(REPORTS)) }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let turn = timeout(PATIENCE, self.turns.acquire()).await.map_err(|_| ApiError::overloaded())?;
        Ok(turn.expect("never closed"))
    }

    /// Asked for first: the report then has at least what it says.
    async fn fold_time(&self) -> Result<Option<Timestamp>, ApiError> {
        Ok(self.store.fold_state().await?.fold_time.map(timestamp))
    }

    async fn counted(&self, scope: &Scope, wanted: &Wanted) -> Result<CountOrdersResponse, ApiError> {
        let _turn = self.turn().await?;
        let fold_time = self.fold_time().await?;
        let most = MOST_ROWS * READ_PER_ROW;
        let before = within(self.store.counts_before(scope, wanted, limit(most)).await?, most)?;
        let counts = within(self.store.counts(scope, wanted, limit(most)).await?, most)?;
        Ok(CountOrdersResponse { rows: reports::counts(&wanted.period, before, counts)?, fold_time })
    }

    async fn dwells(&self, scope: &Scope, wanted: &Wanted) -> Result<ReportDwellResponse, ApiError> {
        let _turn = self.turn().await?;
        let fold_time = self.fold_time().await?;
        let read = within(self.store.dwells(scope, wanted, limit(MOST_READ)).await?, MOST_READ)?;
        let rows = blocking(move || reports::dwells(read)).await?;
        Ok(ReportDwellResponse { rows, fold_time })
    }

    async fn rates(&self, scope: &Scope, wanted: &Wanted) -> Result<ReportRatesResponse, ApiError> {
        let _turn = self.turn().await?;
        let fold_time = self.fold_time().await?;
        // Created, and each way to end.
        let most = MOST_ROWS * 6;
        let ends = within(self.store.ends(scope, wanted, limit(most)).await?, most)?;
        let pickups = within(self.store.pickups(scope, wanted, limit(MOST_ROWS)).await?, MOST_ROWS)?;
        Ok(ReportRatesResponse { rows: reports::rates(ends, pickups)?, fold_time })
    }

    async fn revenues(&self, scope: &Scope, wanted: &Wanted) -> Result<ReportRevenueResponse, ApiError> {
        let _turn = self.turn().await?;
        let fold_time = self.fold_time().await?;
        let read = within(self.store.revenues(scope, wanted, limit(MOST_ROWS)).await?, MOST_ROWS)?;
        Ok(ReportRevenueResponse { rows: reports::revenues(read)?, fold_time })
    }

    async fn couriers(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        courier_id: &str,
    ) -> Result<ReportCouriersResponse, ApiError> {
        let _turn = self.turn().await?;
        let fold_time = self.fold_time().await?;
        let read = within(self.store.couriers(scope, wanted, courier_id, limit(MOST_READ)).await?, MOST_READ)?;
        let rows = blocking(move || reports::couriers(read)).await?;
        Ok(ReportCouriersResponse { rows, fold_time })
    }

    async fn state(&self) -> Result<GetAnalyticsStateResponse, ApiError> {
        let state = self.store.fold_state().await?;
        let building = self.store.building().await?;
        Ok(GetAnalyticsStateResponse {
            fold_time: state.fold_time.map(timestamp),
            waiting_records: state.waiting_records,
            generation: self.store.live_generation().await?,
            rebuild: building.map(|building| Rebuild {
                generation: building.generation,
                start_time: Some(timestamp(building.start_time)),
                folded_orders: building.folded_orders,
            }),
        })
    }
}

/// One more than may be read, so that too much is noticed.
fn limit(most: usize) -> i64 {
    most as i64 + 1
}

fn within<R>(read: Vec<R>, most: usize) -> Result<Vec<R>, ApiError> {
    if read.len() > most { Err(too_large()) } else { Ok(read) }
}

/// Merging many histograms takes a while, in which the thread serves no other call.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::internal()),
    }
}

#[tonic::async_trait]
impl AnalyticsService for Api {
    async fn count_orders(
        &self,
        request: Request<CountOrdersRequest>,
    ) -> Result<Response<CountOrdersResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let wanted = requests::wanted(request.into_inner().filter, OffsetDateTime::now_utc())?;
        Ok(Response::new(self.counted(&scope, &wanted).await?))
    }

    async fn report_dwell(
        &self,
        request: Request<ReportDwellRequest>,
    ) -> Result<Response<ReportDwellResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let wanted = requests::wanted(request.into_inner().filter, OffsetDateTime::now_utc())?;
        Ok(Response::new(self.dwells(&scope, &wanted).await?))
    }

    async fn report_rates(
        &self,
        request: Request<ReportRatesRequest>,
    ) -> Result<Response<ReportRatesResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let wanted = requests::wanted(request.into_inner().filter, OffsetDateTime::now_utc())?;
        Ok(Response::new(self.rates(&scope, &wanted).await?))
    }

    async fn report_revenue(
        &self,
        request: Request<ReportRevenueRequest>,
    ) -> Result<Response<ReportRevenueResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let wanted = requests::wanted(request.into_inner().filter, OffsetDateTime::now_utc())?;
        Ok(Response::new(self.revenues(&scope, &wanted).await?))
    }

    async fn report_couriers(
        &self,
        request: Request<ReportCouriersRequest>,
    ) -> Result<Response<ReportCouriersResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let (wanted, courier_id) = requests::wanted_couriers(request.into_inner(), OffsetDateTime::now_utc())?;
        Ok(Response::new(self.couriers(&scope, &wanted, &courier_id).await?))
    }

    async fn get_analytics_state(
        &self,
        request: Request<GetAnalyticsStateRequest>,
    ) -> Result<Response<GetAnalyticsStateResponse>, Status> {
        // The state is that of the whole installation; only whose caller may ask is checked.
        Scope::of(request.extensions())?;
        Ok(Response::new(self.state().await?))
    }
}
