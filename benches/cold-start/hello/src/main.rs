//! The least that a function of the HTTP API can be, to compare with.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

fn main() -> Result<(), Error> {
    // As in the functions.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(service_fn(|_: Request| async { Ok::<_, Error>(Response::new(Body::from("hello"))) })))
}
