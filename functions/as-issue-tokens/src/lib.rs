//! `POST /v1/as/tokens`: a batch of anonymous tokens of a client's allowance (`new-device-sequence.md`, rows 11 and 12).
//!
//! The same request again gets the same answer, and no second batch.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::clients::Clients;
use vestibule_backend::authentication_service::token_allowances::TokenAllowances;
use vestibule_backend::secret::Secret;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{IssueTokens, IssueTokensRequest, IssueTokensResponse};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_tokens::{IssueError, IssuerKeysDocument};

/// The function.
pub struct AsIssueTokens {
    domain: Domain,
    tag: String,
    clock: Clock,
    clients: Clients,
    allowances: TokenAllowances,
    issuer: Secret<IssuerKeysDocument>,
}

impl HttpFunction for AsIssueTokens {
    type Endpoint = IssueTokens;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let domain = environment.domain()?;
        Ok(Self {
            tag: Service::Authentication.tag(&domain),
            domain,
            clock: environment.clock().clone(),
            clients: Clients::new(environment)?,
            allowances: TokenAllowances::new(environment)?,
            issuer: Secret::read(environment, "TOKENS_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<IssueTokens>) -> Result<IssueTokensResponse, Problem> {
        let now = self.clock.now();
        let IssueTokensRequest { client_id, token_request } = &request.body;
        if *client_id.user_name.domain() != self.domain {
            let detail = format!("user names here end in @{}", self.domain);
            return Err(Problem::new(ProblemType::ForeignDomain, detail));
        }
        self.clients.authenticate(&request, client_id, &self.tag, now).await?;
        let issuer = self.issuer.current().await;
        let issue = || issuer.issue(&token_request.0, now).map_err(issue_problem);
        self.allowances.take(client_id, request.body_hash, now, issue).await
    }
}

fn issue_problem(error: IssueError) -> Problem {
    let problem_type = match error {
        IssueError::Malformed => ProblemType::TokenRequestInvalid,
        IssueError::KeyNotCurrent => ProblemType::TokenKeyNotCurrent,
    };
    Problem::new(problem_type, error)
}
