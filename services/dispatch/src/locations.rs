//! Takes couriers' positions: checks who reports, drops what is of no use, publishes the rest.

use std::sync::Arc;

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
};
use comanda_proto::{
    LatLng,
    events::CourierLocation,
    v1::{Location, StreamLocationsRequest, StreamLocationsResponse},
    views::{offset_date_time, timestamp},
};
use futures::{Stream, StreamExt};
use metrics::counter;
use time::OffsetDateTime;
use tonic::Status;

use crate::{
    filter::{Dropped, Reported},
    place::{CourierKey, Point},
    publisher::Publisher,
    reach,
    registered::Registered,
    reporters::Reporters,
};

/// Takes positions. Clones share everything.
#[derive(Clone)]
pub struct Locations {
    registered: Registered,
    reporters: Arc<Reporters>,
    publisher: Arc<Publisher>,
}

impl Locations {
    /// Takes positions of `registered` couriers, publishes with `publisher`.
    pub fn new(registered: Registered, publisher: Publisher) -> Self {
        Self { registered, reporters: Arc::default(), publisher: Arc::new(publisher) }
    }

    /// Takes one position; whether it was of use.
    pub async fn report(&self, scope: &Scope, courier_id: &str, location: Option<Location>) -> Result<bool, ApiError> {
        let now = OffsetDateTime::now_utc();
        let reported = parse(location, now)?;
        let courier = self.known(scope, courier_id).await?;
        Ok(self.take(&courier, reported, now))
    }

    /// Takes the positions of a stream to its end.
    pub async fn take_all(
        &self,
        scope: &Scope,
        mut requests: impl Stream<Item = Result<StreamLocationsRequest, Status>> + Unpin,
    ) -> Result<StreamLocationsResponse, ApiError> {
        let (mut courier, mut counts) = (None, StreamLocationsResponse::default());
        // A stream that cannot be read on has ended: its client has gone, or the transport says what is wrong.
        while let Some(Ok(StreamLocationsRequest { courier_id, location })) = requests.next().await {
            let now = OffsetDateTime::now_utc();
            let reported = parse(location, now)?;
            let courier = match &courier {
                None => courier.insert(self.known(scope, &courier_id).await?),
                Some(courier) if courier_id.is_empty() || *courier.courier_id == *courier_id => courier,
                Some(_) => return Err(ApiError::invalid_field("courier_id", "must be the same in the whole stream")),
            };
            let is_taken = self.take(courier, reported, now);
            *(if is_taken { &mut counts.taken_count } else { &mut counts.dropped_count }) += 1;
        }
        Ok(counts)
    }

    /// A courier that exists and that the caller may speak for.
    async fn known(&self, scope: &Scope, courier_id: &str) -> Result<CourierKey, ApiError> {
        let courier = reach::courier(scope, courier_id)?;
        if self.reporters.knows(&courier) || self.registered.contains(&courier).await? {
            return Ok(courier);
        }
        Err(reach::courier_not_found(courier_id))
    }

    fn take(&self, courier: &CourierKey, reported: Reported, now: OffsetDateTime) -> bool {
        let taken = self.reporters.take(courier, reported, now).and_then(|()| {
            let is_queued = self.publisher.publish(&event(courier, reported));
            if is_queued { Ok(()) } else { Err(Dropped::NotPublished) }
        });
        let result = taken.map_or_else(Dropped::name, |()| "taken");
        counter!("comanda_dispatch_locations_total", "result" => result).increment(1);
        taken.is_ok()
    }
}

fn event(courier: &CourierKey, reported: Reported) -> CourierLocation {
    CourierLocation {
        courier_id: courier.courier_id.to_string(),
        tenant: courier.tenant.to_string(),
        position: Some(LatLng { latitude: reported.point.latitude, longitude: reported.point.longitude }),
        record_time: Some(timestamp(reported.time)),
        accuracy_meters: reported.accuracy_metres,
    }
}

fn parse(location: Option<Location>, now: OffsetDateTime) -> Result<Reported, ApiError> {
    let mut violations = Violations::default();
    violations.require(location.is_some(), "location", "is required");
    let Location { position, record_time, accuracy_meters } = location.unwrap_or_default();
    let point = position.and_then(|position| Point::new(position.latitude, position.longitude));
    let rule = "must have a latitude of -90 to 90 and a longitude of -180 to 180";
    violations.require(point.is_some(), "location.position", rule);
    let time = record_time.map_or(Some(now), |time| offset_date_time(&time));
    violations.require(time.is_some(), "location.record_time", "must be a valid time");
    let is_distance = accuracy_meters.is_finite() && accuracy_meters >= 0.0;
    violations.require(is_distance, "location.accuracy_meters", "must be 0 or more");
    violations.check()?;
    let (Some(point), Some(time)) = (point, time) else { return Err(ApiError::internal()) };
    Ok(Reported { point, time, accuracy_metres: accuracy_meters })
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn violations(location: Option<Location>) -> Vec<String> {
        let Err(error) = parse(location, OffsetDateTime::UNIX_EPOCH) else { return Vec::new() };
        let details = Status::from(error).get_error_details();
        details.bad_request().expect("violations").field_violations.iter().map(|v| v.field.clone()).collect()
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(violations(None), ["location", "location.position"]);
        let wrong = Location {
            position: Some(LatLng { latitude: 90.5, longitude: f64::NAN }),
            record_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            accuracy_meters: -1.0,
        };
        assert_eq!(violations(Some(wrong)), ["location.position", "location.record_time", "location.accuracy_meters"]);
        let right = Location { position: Some(LatLng { latitude: -90.0, longitude: 180.0 }), ..Location::default() };
        assert!(violations(Some(right)).is_empty());
    }
}
