//! The way of a call through access control.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};

use super::{
    admission::{Access, Origin},
    ending::{self, Ending},
    principal::Principal,
};
use crate::rpcs;

impl<S> Layer<S> for Access {
    type Service = Scoped<S>;

    fn layer(&self, inner: S) -> Scoped<S> {
        Scoped { inner, access: self.clone() }
    }
}

/// A service whose calls have a scope.
#[derive(Clone, Debug)]
pub struct Scoped<S> {
    inner: S,
    access: Access,
}

impl<S> Service<Request<Body>> for Scoped<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let access = self.access.clone();
        // The one that is ready takes the call.
        let rest = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, rest);
        Box::pin(async move {
            let from = Origin::of(request.extensions());
            match access.admit(request.uri().path(), request.headers(), from).await {
                Ok(None) => pass(inner, request).await,
                Ok(Some(principal)) => access.serve(inner, request, principal).await,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

impl Access {
    async fn serve<S>(
        &self,
        inner: S,
        mut request: Request<Body>,
        principal: Principal,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let (is_stream, is_upload) =
            (rpcs::ours().is_stream(request.uri().path()), rpcs::ours().is_upload(request.uri().path()));
        if !is_stream && !is_upload {
            request.extensions_mut().insert(principal.scope);
            return pass(inner, request).await;
        }
        let share = match self.limits.take_stream(principal.scope.tenant()) {
            Ok(share) => share,
            Err(error) => return Ok(Status::from(error).into_http()),
        };
        let ends = ending::ends(&self.authenticator, &principal, request.headers(), request.extensions().get());
        request.extensions_mut().insert(principal.scope);
        let answer = pass(inner, request);
        if is_stream {
            return Ok(answer.await?.map(|stream| Ending::of(stream, ends, share)));
        }
        let Some(ends) = ends else { return answer.await };
        tokio::select! {
            answer = answer => answer,
            error = ends => Ok(Status::from(error).into_http()),
        }
    }
}

fn pass<S: Service<Request<Body>, Response = Response<Body>>>(mut inner: S, request: Request<Body>) -> S::Future {
    inner.call(request)
}
